/** Measures what tracing adds to a message: asked for, handled and answered over TCP within one process, so both of its spans are in it. */
import { startMessages } from './processes.mjs';

const ignoring = { inbound: { ignoreMessages: '*' }, outbound: { ignoreMessages: '*' } };

/** The same as for requests, as far as there is something to compare. */
export const messageVariants = [
  { id: 'a', title: 'bare application', setUp: 'bare', options: {} },
  { id: 'a2', title: 'bare application, once more (noise)', setUp: 'bare', options: {} },
  { id: 'b', title: 'nestjs-tracing', setUp: 'ours', options: {} },
  { id: 'b2', title: 'nestjs-tracing, `sampler: 0`', setUp: 'ours', options: { sampler: 0 } },
  { id: 'b4', title: 'nestjs-tracing, messages are ignored', setUp: 'ours', options: ignoring },
  { id: 'b5', title: 'nestjs-tracing, `enabled: false`', setUp: 'ours', options: { enabled: false } },
  { id: 'c', title: 'two spans by hand', setUp: 'messages-by-hand', options: {} },
];

/** Resolves to one list of rounds per fleet, like what requests are measured to. */
export async function measureMessages({ node, fleets, rounds, warmUpMs, windowMs, tell }) {
  const measured = [];
  for (let fleet = 0; fleet < fleets; fleet++) {
    tell(`messages: start ${fleet + 1} of ${fleets}`);
    const processes = [];
    try {
      for (const variant of messageVariants) {
        const child = await startMessages(node, variant);
        processes.push({ variant, child });
        await child.ask('measure', { windowMs: warmUpMs });
      }
      measured.push(await visitAll(processes, rounds, windowMs));
    } finally {
      await Promise.all(processes.map(({ child }) => child.stop()));
    }
  }
  return measured;
}

async function visitAll(processes, rounds, windowMs) {
  const measured = [];
  for (let round = 0; round < rounds; round++) {
    const results = {};
    for (let i = 0; i < processes.length; i++) {
      const { variant, child } = processes[(i + round) % processes.length];
      results[variant.id] = await child.ask('measure', { windowMs });
    }
    measured.push(results);
  }
  return measured;
}
