/** An application with MikroORM 7, which needs a newer Node than our specs run on, and a PostgreSQL of its own. Prints what its spans are. */
import { EntitySchema, MikroORM } from '@mikro-orm/postgresql';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { spawn, spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Tracer, TracingModule } from 'nestjs-tracing';
import { TraceRecorder } from 'nestjs-tracing/testing';

/** Debian has a folder for each version. */
const VERSIONS = '/usr/lib/postgresql';
const NOBODY = 65_534;
const SECRET = 's3cr3t-of-alice';

const version = existsSync(VERSIONS) ? readdirSync(VERSIONS).at(-1) : undefined;
if (version === undefined) {
  console.log(`MikroORM 7 is skipped: "${VERSIONS}" has no server`);
  process.exit();
}

const folder = mkdtempSync(join(tmpdir(), 'mikro-orm-'));
const isRoot = process.getuid() === 0;
if (isRoot) chownSync(folder, NOBODY, NOBODY);
// The server refuses to run as root.
const command = (name, args) => {
  const program = join(VERSIONS, version, 'bin', name);
  return isRoot ? ['setpriv', ['--reuid', NOBODY, '--regid', NOBODY, '--clear-groups', program, ...args].map(String)] : [program, args];
};
spawnSync(...command('initdb', ['-D', join(folder, 'data'), '-U', 'postgres', '-A', 'trust', '-N']), { cwd: '/' });
const port = await new Promise(resolve => {
  const server = createServer().listen(0, '127.0.0.1', () => {
    const { port } = server.address();
    server.close(() => resolve(port));
  });
});
const settings = { port, listen_addresses: '127.0.0.1', unix_socket_directories: folder, fsync: 'off' };
const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
const database = spawn(...command('postgres', ['-D', join(folder, 'data'), ...args]), { cwd: '/', env: { LC_ALL: 'C.UTF-8' } });
process.on('exit', () => {
  database.kill('SIGQUIT');
  rmSync(folder, { recursive: true, force: true });
});
await new Promise((resolve, reject) => {
  let said = '';
  database.stderr.on('data', text => /ready to accept connections/.test((said += text)) && resolve());
  database.on('close', () => reject(new Error(said)));
});

class User {}
const id = { type: 'number', primary: true };
const users = new EntitySchema({ class: User, tableName: 'users', properties: { id, name: { type: 'string' } } });
const pool = { min: 0, max: 5 };
const orm = await MikroORM.init({ entities: [users], host: '127.0.0.1', port, user: 'postgres', dbName: 'postgres', pool });
await orm.em.getConnection().execute('CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL)');
await orm.em.getConnection().execute('INSERT INTO users SELECT n, n FROM generate_series(1, 100) n');

const recorder = new TraceRecorder();
class AppModule {}
Module({ imports: [TracingModule.forRoot({ exporter: recorder })], providers: [{ provide: 'em', useValue: orm.em }] })(AppModule);
const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
const tracer = app.get(Tracer);
const rename = index => () =>
  orm.em.fork().transactional(async em => {
    const user = await em.findOneOrFail(User, { id: index + 1 });
    user.name = `new ${index}`;
  });
await Promise.all(Array.from({ length: 100 }, (_, index) => tracer.span(`request ${index}`, rename(index))));
const below = root => recorder.spans.filter(span => recorder.parentOf(span) === root).map(({ name }) => name);
const kinds = new Set(recorder.spans.filter(({ name }) => name.startsWith('request')).map(root => below(root).join(', ')));

recorder.clear();
for (const row of [
  { id: 1, name: SECRET },
  { id: null, name: SECRET },
]) {
  await tracer.span('request', () => orm.em.fork().insert(User, row)).catch(() => undefined);
}
const codes = recorder.spans.map(({ attributes }) => attributes['db.response.status_code']).filter(code => code !== undefined);
const isLeaking = JSON.stringify(recorder.spans.map(({ attributes, events, status }) => [attributes, events, status])).includes(SECRET);
await app.close();
recorder.clear();
await orm.em.fork().findOne(User, { id: 1 });
console.log(
  `MikroORM 7: ${[...kinds].join(' or ')}; ${codes.join(', ')}; ${isLeaking ? 'leaking' : 'no leak'}; ${recorder.spans.length} after`,
);
await orm.close();
process.exit();
