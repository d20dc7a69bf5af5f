/** Knows the methods that another integration traces, and those that are no work of a request. */
import 'reflect-metadata';

/** Metadata of handlers: routes, messages, events of gateways and emitters, jobs, and messages of queues. */
const HANDLED: readonly unknown[] = [
  'path',
  'microservices:pattern',
  'websockets:message_mapping',
  'EVENT_LISTENER_METADATA',
  'SCHEDULER_TYPE',
  'bull:module_queue_process',
  Symbol.for('SQS_CONSUMER_METHOD'),
];

/** golevelup does not export or register this symbol. */
const RABBIT_HANDLER = 'RABBIT_HANDLER';

/** Metadata of resolvers. Their spans are those of the option `graphql.resolvers`. */
const RESOLVING = ['graphql:resolver_type', 'graphql:resolve_property', 'graphql:resolve_reference'];

/** Metadata of classes whose one method handles commands, queries, events, jobs or the command line. */
const HANDLING_CLASSES: readonly (readonly [key: string, method: string])[] = [
  ['__commandHandler__', 'execute'],
  ['__queryHandler__', 'execute'],
  ['__eventsHandler__', 'handle'],
  ['bullmq:processor_metadata', 'process'],
  ['CommandBuilder:Command:Meta', 'run'],
  ['CommandBuilder:Subcommand:Meta', 'run'],
  ['CommandBuilder:RootCommand:Meta', 'run'],
];

const SAGA = '__saga__';

/** Nest calls these at the start and at the end. The option `startUp` traces the start. */
const LIFECYCLE = new Set([
  'configure',
  'onModuleInit',
  'onApplicationBootstrap',
  'onModuleDestroy',
  'beforeApplicationShutdown',
  'onApplicationShutdown',
]);

/** Returns true if the method has a span already, or needs none. `tracesResolvers`: the option `graphql.resolvers`. */
export function hasOwnSpan(classRef: Function, name: string, method: Function, tracesResolvers: boolean): boolean {
  if (LIFECYCLE.has(name)) return true;
  for (const key of Reflect.getMetadataKeys(method) as unknown[]) {
    if (HANDLED.includes(key) || (typeof key === 'symbol' && key.description === RABBIT_HANDLER)) return true;
    if (tracesResolvers && RESOLVING.includes(key as string)) return true;
  }
  const sagas: unknown = Reflect.getMetadata(SAGA, classRef);
  if (Array.isArray(sagas) && sagas.includes(name)) return true;
  return HANDLING_CLASSES.some(([key, handler]) => handler === name && Reflect.hasMetadata(key, classRef));
}
