/** Measures what it costs to encode a span as OTLP, in protobuf and JSON, by this library and by OpenTelemetry's encoders. */
import { startEncoding } from './processes.mjs';
import { middle, ratio } from './statistics.mjs';

export const formats = ['protobuf', 'json'];

/** Resolves to processes, each a list of µs per span for each way. */
export async function measureEncoding({ node, processes, rounds, tell }) {
  const measured = [];
  for (let i = 0; i < processes; i++) {
    tell(`encoding: process ${i + 1} of ${processes}`);
    const child = await startEncoding(node);
    try {
      measured.push((await child.ask('measure', { rounds })).us);
    } finally {
      await child.stop();
    }
  }
  return measured;
}

/** µs that a span takes, and the ratio of ours to OpenTelemetry's encoder for the SDK's spans. */
export function compareEncoding(processes, format) {
  const all = name => middle(processes.flatMap(us => us[name]));
  return {
    ours: all(format),
    byOtel: all(`${format}ByOtel`),
    ofSdk: all(`${format}OfSdk`),
    ratio: ratio(processes.map(us => us[format].map((value, round) => [value, us[`${format}OfSdk`][round]]))),
  };
}
