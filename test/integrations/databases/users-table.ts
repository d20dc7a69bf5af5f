/** A PostgreSQL database with a table of 500 users, for the specs of libraries that stand above its driver. */
import pg from 'pg';
import { postgres, serverOf } from './servers.js';

/** A value that no exported byte may contain. */
export const SECRET = 's3cr3t-of-alice';

export interface Settings {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
}

/** Starts the server and returns how to connect to it. */
export async function databaseWithUsers(): Promise<Settings> {
  const { port } = await serverOf(postgres);
  const settings = { host: '127.0.0.1', port, user: 'postgres', database: 'postgres' };
  const client = new pg.Client(settings);
  await client.connect();
  await client.query('CREATE TABLE users (id int PRIMARY KEY, name text UNIQUE)');
  await client.query(`INSERT INTO users SELECT n, 'name ' || n FROM generate_series(1, 500) n`);
  await client.end();
  return settings;
}

/** What every statement to this database says about it. */
export function addressOf({ host, port, database }: Settings) {
  return { 'db.system.name': 'postgresql', 'db.namespace': database, 'server.address': host, 'server.port': port };
}
