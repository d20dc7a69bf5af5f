/** Registers OpenTelemetry's instrumentations of graphql and socket.io, and has both packages loaded by the `require` that they patch. */
import { createRequire } from 'node:module';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { GraphQLInstrumentation } from '@opentelemetry/instrumentation-graphql';
import { SocketIoInstrumentation } from '@opentelemetry/instrumentation-socket.io';

registerInstrumentations({ instrumentations: [new GraphQLInstrumentation(), new SocketIoInstrumentation()] });

const require = createRequire(import.meta.url);
require('graphql');
require('socket.io');
