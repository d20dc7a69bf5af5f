/** Traces SQS: finds the AWS SDK clients of an application, and its consumers of sqs-consumer or @ssut/nestjs-sqs. */
import { MetadataScanner, type ModulesContainer } from '@nestjs/core';
import { isNoSpan } from '../../api/no-span.decorator.js';
import { memberAt } from '../../conventions/peer.js';
import type { Integration } from '../../nest/integration.js';
import type { InboundOperations } from '../../spans/inbound.js';
import { hasMethods, isTouchable, memberOf } from '../../wrapping/has-methods.js';
import { classesOf, type ProviderTracing } from '../../wrapping/provider-search.js';
import { replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { clientIn, installOnClient } from './client.js';
import { installOnConsumer, isConsumer, type MessageHandler } from './consumer.js';

export const sqs: Integration = {
  name: 'sqs',
  passesThrough: true,
  install(_application, nest) {
    const install = installFor(nest.inbound);
    nest.eachProvider(partsOf(install));
    nest.eachProvider(nestServices(nest.modules, install));
  },
};

/** Traces a client, or a consumer or producer with its client. Returns the undo function. */
type Install = (part: object, handler?: MessageHandler) => Undo;

function installFor(inbound: InboundOperations): Install {
  return (part, handler) => {
    const client = clientIn(part);
    return undoAll([
      ...(client === undefined ? [] : [installOnClient(client)]),
      ...(isConsumer(part) ? [installOnConsumer(part, inbound, handler)] : []),
    ]);
  };
}

/** Finds clients, consumers and producers that are providers or that providers hold. */
function partsOf(install: Install): ProviderTracing {
  const isPart = (value: object): boolean => clientIn(value) !== undefined;
  return {
    everyInstance: true,
    looksInside: true,
    find: ({ instance, members }) => (isTouchable(instance) && isPart(instance) ? [instance] : members.filter(isPart)),
    install: part => install(part),
  };
}

/** The metadata key of @ssut/nestjs-sqs on a handler method. The value is `{ name }`, the consumer's name. */
const HANDLED = Symbol.for('SQS_CONSUMER_METHOD');

/** Traces consumers and producers that the service of @ssut/nestjs-sqs creates, before they start. */
function nestServices(modules: ModulesContainer, install: Install): ProviderTracing {
  return {
    find: ({ instance }) => (hasMethods(instance, 'getQueueInfo', 'getProducerQueueSize', 'send') ? [instance] : []),
    install(service) {
      const steps: Undo[] = [];
      for (const name of ['consumers', 'producers']) {
        const made = memberOf(service, name);
        if (!(made instanceof Map)) continue;
        const watch = replaceMethod(made, 'set', set => {
          return function (key, part) {
            // A consumer is stored with its options, in `instance`.
            const inner = isTouchable(part) ? (memberOf(part, 'instance') ?? part) : undefined;
            if (isTouchable(inner)) steps.push(install(inner, handlerOf(key, modules)));
            return set.call(this, key, part);
          };
        });
        steps.push(watch);
      }
      return undoAll(steps);
    },
  };
}

/** Returns the provider method that the service uses as the consumer's handler. */
function handlerOf(consumer: unknown, modules: ModulesContainer): MessageHandler | undefined {
  for (const classRef of classesOf(modules, 'providers')) {
    const prototype = classRef.prototype as object;
    for (const method of new MetadataScanner().getAllMethodNames(prototype)) {
      const callback = memberOf(prototype, method);
      const handled: unknown = typeof callback === 'function' ? Reflect.getMetadata(HANDLED, callback) : undefined;
      if (memberAt(handled, 'name') === consumer) return { className: classRef.name, method, isUntraced: isNoSpan(classRef, method) };
    }
  }
  return undefined;
}
