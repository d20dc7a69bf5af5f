import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Program } from '../../sample/runner/program.js';
import { describeWith, mariadb, postgres, serverOf } from '../integrations/databases/servers.js';
import { programOf } from '../own-process.js';

describeWith(postgres, 'instrumentations of loaded drivers')('an instrumentation of a driver that is loaded before it', () => {
  const itWithMariadb = mariadb.missing() === undefined ? it : it.skip; // The machine may lack MariaDB.
  itWithMariadb(
    'makes the one span of each statement, whether package.json names the instrumentation or not',
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'application-'));
      try {
        const dependencies = { '@opentelemetry/instrumentation-mysql2': '*' };
        writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'shop', dependencies }));
        symlinkSync(resolve('node_modules'), join(folder, 'node_modules'), 'dir');
        const [pg, mysql] = await Promise.all([serverOf(postgres), serverOf(mariadb)]);
        const program = await programOf('test/register/loaded.fixture.ts');
        const env = { PG_PORT: String(pg.port), MYSQL_PORT: String(mysql.port), OTEL_SEMCONV_STABILITY_OPT_IN: 'database' };
        const { output, stdout } = await Program.run({ command: process.execPath, args: [program], cwd: folder, env }, 60_000);
        if (stdout === '') throw new Error(output);
        const spans = JSON.parse(stdout) as { scope: string; text?: string }[];
        expect(spans.filter(({ text }) => text?.startsWith('SELECT'))).toEqual([
          { scope: '@opentelemetry/instrumentation-pg', text: 'SELECT 1' },
          { scope: '@opentelemetry/instrumentation-mysql2', text: 'SELECT 2' },
        ]);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
    120_000,
  );
});
