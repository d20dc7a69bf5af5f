/** Takes a CPU profile of this process while it is under load; asked for by the parent. */
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';

let session;

export async function startProfile() {
  session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.setSamplingInterval', { interval: 200 });
  await session.post('Profiler.start');
  return {};
}

export async function stopProfile({ file }) {
  const { profile } = await session.post('Profiler.stop');
  session.disconnect();
  writeFileSync(file, JSON.stringify(profile));
  return {};
}
