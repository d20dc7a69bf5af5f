import { MongoClient } from 'mongodb';
import mysql from 'mysql2/promise';
import pg from 'pg';
import { describeWith, ferretdb, mariadb, postgres, serverOf } from './servers.js';

describeWith(postgres, 'PostgreSQL')('PostgreSQL for specs', () => {
  it('takes 200 connections without a password and keeps its data over a restart', async () => {
    const server = await serverOf(postgres);
    const settings = { host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres' };
    const pool = new pg.Pool({ ...settings, max: 200 });
    await pool.query('CREATE TABLE kept AS SELECT 7 AS number');
    await Promise.all(Array.from({ length: 200 }, () => pool.query('SELECT pg_sleep(0.1)')));
    expect(pool.totalCount).toBe(200);
    await pool.end();
    await server.kill();
    await server.restart();
    const client = new pg.Client(settings);
    await client.connect();
    const { rows } = await client.query<{ number: number }>('SELECT number FROM kept');
    expect(rows).toEqual([{ number: 7 }]);
    await client.end();
  });
});

describeWith(mariadb, 'MariaDB')('MariaDB for specs', () => {
  it('takes 200 connections without a password and keeps its data over a restart', async () => {
    const server = await serverOf(mariadb);
    const settings = { host: '127.0.0.1', port: server.port, user: 'tester', database: 'test' };
    const pool = mysql.createPool({ ...settings, connectionLimit: 200 });
    await pool.query('CREATE TABLE kept AS SELECT 7 AS number');
    await Promise.all(Array.from({ length: 200 }, () => pool.query('SELECT SLEEP(0.1)')));
    await pool.end();
    await server.kill();
    await server.restart();
    const connection = await mysql.createConnection(settings);
    const [rows] = await connection.query('SELECT number FROM kept');
    expect(rows).toEqual([{ number: 7 }]);
    await connection.end();
  });
});

describeWith(ferretdb, 'FerretDB')('FerretDB for specs', () => {
  it('takes 50 connections and keeps its data over a restart', async () => {
    const server = await serverOf(ferretdb);
    const client = new MongoClient(`mongodb://127.0.0.1:${server.port}`, { maxPoolSize: 50 });
    await Promise.all(Array.from({ length: 50 }, (_, number) => client.db('test').collection('kept').insertOne({ number })));
    await client.close();
    await server.kill();
    await server.restart();
    const later = await new MongoClient(`mongodb://127.0.0.1:${server.port}`).connect();
    expect(await later.db('test').collection('kept').countDocuments()).toBe(50);
    await later.close();
  });
});
