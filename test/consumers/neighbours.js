/** The kinds of consumer that have something else of OpenTelemetry, or the oldest of everything, installed beside the library. */
import { application, compiledApplication } from './kinds.js';

const OLDEST = {
  ...application({ common: '11.1.4', core: '11.1.4', 'platform-express': '11.1.4', testing: '11.1.4', axios: '4.0.0' }),
  '@opentelemetry/api': '1.9.0',
  axios: '1.3.1',
  'reflect-metadata': '0.2.0',
  rxjs: '7.8.0',
};

/** As those of kinds.js, and each with `packages` of its own. */
export const NEIGHBOURS = [
  { ...compiledApplication('app, oldest peers', 'commonjs', '11.1.4'), nests: ['11.1.4'], packages: () => OLDEST },
];
