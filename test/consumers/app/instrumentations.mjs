/** Registers OpenTelemetry's own instrumentations of node:http and undici. */
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { UndiciInstrumentation } from '@opentelemetry/instrumentation-undici';
import { createRequire } from 'node:module';

export const instrumentations = [new HttpInstrumentation(), new UndiciInstrumentation()];
registerInstrumentations({ instrumentations });

// They patch node:http when it is required the next time.
createRequire(import.meta.url)('node:http');
