import { Program } from '../../../sample/runner/program.js';
import { programOf } from '../../own-process.js';
import { describeWith, mariadb, postgres, serverOf } from './servers.js';

interface Printed {
  readonly scope: string;
  readonly text?: string;
}

describeWith(postgres, 'official instrumentations of pg and mysql2')('a statement through a driver that is instrumented already', () => {
  const itWithMariadb = mariadb.missing() === undefined ? it : it.skip; // The machine may lack MariaDB.
  itWithMariadb(
    'has one span, of the official instrumentation',
    async () => {
      const [pg, mysql] = await Promise.all([serverOf(postgres), serverOf(mariadb)]);
      const program = await programOf('test/integrations/databases/official-drivers.fixture.ts');
      const env = { PG_PORT: String(pg.port), MYSQL_PORT: String(mysql.port), OTEL_SEMCONV_STABILITY_OPT_IN: 'database' };
      const { output, stdout } = await Program.run({ command: process.execPath, args: [program], env }, 60_000);
      if (stdout === '') throw new Error(output);
      const spans = JSON.parse(stdout) as Printed[];
      for (const text of ['SELECT 1', 'SELECT 2', 'SELECT 3', 'SELECT 4']) {
        expect(spans.filter(span => span.text === text).map(({ scope }) => scope)).toEqual([
          expect.stringMatching(/^@opentelemetry\/instrumentation-(mysql2|pg)$/),
        ]);
      }
      const isOurs = ({ scope }: Printed) => !scope.startsWith('@opentelemetry/');
      expect(spans.filter(isOurs)).toHaveLength(1);
    },
    120_000,
  );
});
