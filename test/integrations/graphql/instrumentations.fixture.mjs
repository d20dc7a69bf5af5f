/** Sets up OpenTelemetry's instrumentations of graphql and socket.io, and has both packages loaded by the `require` that they patch. */
import { createRequire } from 'node:module';
import { GraphQLInstrumentation } from '@opentelemetry/instrumentation-graphql';
import { SocketIoInstrumentation } from '@opentelemetry/instrumentation-socket.io';

// They are at work as soon as they are there, with the provider that is registered later.
new GraphQLInstrumentation();
new SocketIoInstrumentation();

const require = createRequire(import.meta.url);
for (const name of ['graphql', 'socket.io']) require(name);
