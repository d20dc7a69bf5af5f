/** Starts an application as its user does, asks it for a path until it answers, ends it as a process manager does, and prints what it printed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

const [main, path] = process.argv.slice(2);
const port = await freePort();
const child = spawn(process.execPath, [main], { env: { ...process.env, PORT: String(port) }, stdio: ['ignore', 'pipe', 'pipe'] });
let output = '';
for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (output += chunk));
const exited = once(child, 'exit');

for (let turn = 0; turn < 200 && child.exitCode === null; turn++) {
  const response = await fetch(`http://localhost:${port}${path}`).catch(() => undefined);
  if (response?.ok) break;
  await pause(50);
}
child.kill('SIGTERM');
const [code, signal] = await exited;
console.log(`${output}\nended by ${signal ?? code}`);

async function freePort() {
  const server = createServer().listen(0);
  await once(server, 'listening');
  const { port } = server.address();
  await new Promise(closed => server.close(closed));
  return port;
}
