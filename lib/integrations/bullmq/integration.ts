/** Traces BullMQ: finds the queues, flow producers and workers of an application. */
import type { Integration } from '../../nest/integration.js';
import type { InboundOperations } from '../../spans/inbound.js';
import { hasMethods, isTouchable, ownValues } from '../../wrapping/has-methods.js';
import type { ProviderTracing } from '../../wrapping/provider-search.js';
import { replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { installOnProducer, isProducer, type Producer } from './queue.js';
import { detachClasses, enlistApplication, installOnWorker, isOfBullmq, isWorker } from './worker.js';

export const bullmq: Integration = {
  name: 'bullmq',
  passesThrough: true,
  install(_application, nest) {
    enlistApplication(nest.inbound);
    nest.eachProvider(producers);
    nest.eachProvider(processors(nest.inbound));
    nest.eachProvider(workers(nest.inbound));
  },
};

const producers: ProviderTracing<Producer> = {
  everyInstance: true,
  looksInside: true,
  find: ({ instance, members }) => (isTouchable(instance) && isProducer(instance) ? [instance] : members.filter(isProducer)),
  install: installOnProducer,
};

/**
 * Traces the workers of `@Processor()` classes as soon as @nestjs/bullmq creates them. `@NoSpan()` on the class excludes its jobs. Other
 * workers of the same Worker class, such as those of `registerQueue({ processors })`, are traced when they get a job.
 */
function processors(inbound: InboundOperations): ProviderTracing {
  return {
    find: ({ instance }) => (hasMethods(instance, 'register', 'registerWorkers', 'handleProcessor') ? [instance] : []),
    install: explorer => {
      const undo: Undo[] = [
        replaceMethod(explorer, 'handleProcessor', handleProcessor => {
          return function (host, ...rest) {
            const result = handleProcessor.call(this, host, ...rest);
            for (const worker of ownValues(host)) if (isWorker(worker)) undo.push(installOnWorker(worker, inbound, host as object));
            return result;
          };
        }),
      ];
      const workerClass: unknown = Reflect.get(explorer.constructor, '_workerClass');
      if (typeof workerClass === 'function') undo.push(detachClasses(workerClass.prototype as object));
      return undoAll(undo);
    },
  };
}

/** Traces workers that are providers, or that providers hold. A queue in a provider gives access to its Worker class and other workers. */
function workers(inbound: InboundOperations): ProviderTracing {
  return {
    looksInside: true,
    find({ instance, members }) {
      const found = isTouchable(instance) ? [instance] : [];
      return (isWorker(instance) ? found : [...found, ...members]).filter(member => isWorker(member) || isOfBullmq(member));
    },
    install: member => undoAll([detachClasses(member), ...(isWorker(member) ? [installOnWorker(member, inbound)] : [])]),
  };
}
