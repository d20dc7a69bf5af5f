import { describe, expect, it } from '@jest/globals';
import { didYouMean, nearestName } from '../../lib/options/messages.js';

const NAMES = [
  'serviceName',
  'serviceVersion',
  'sampler',
  'exporter',
  'ignore',
  'ignoreMessages',
  'trust',
  'otlp',
  'zipkin',
  'b3',
  'b3multi',
];

describe('the name that was meant', () => {
  it.each([
    ['sampelr', 'sampler'],
    ['samplr', 'sampler'],
    ['SAMPLER', 'sampler'],
    ['exporters', 'exporter'],
    ['serviceNmae', 'serviceName'],
    ['service_name', 'serviceName'],
    ['service', 'serviceName'],
    ['ignored', 'ignore'],
    ['ignoreMessage', 'ignoreMessages'],
    ['oltp', 'otlp'],
    ['OTPL', 'otlp'],
    ['b3mutli', 'b3multi'],
    ['zipkn', 'zipkin'],
  ])('by "%s" is "%s"', (given, meant) => {
    expect(nearestName(given, NAMES)).toBe(meant);
  });

  it.each(['datadog', 'jaeger', 'xray', 'b', '', ' ', 'x'.repeat(10_000)])('by "%.20s" is none', given => {
    expect(nearestName(given, NAMES)).toBeUndefined();
  });

  it('becomes a sentence, or nothing', () => {
    expect(didYouMean('oltp', NAMES)).toBe(' Did you mean "otlp"?');
    expect(didYouMean('datadog', NAMES)).toBe('');
    expect(didYouMean(7, NAMES)).toBe('');
  });
});
