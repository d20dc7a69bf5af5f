/** Traces the start of an application: making its providers, the hooks of its modules and providers, listening. */
import { errorMonitor, type EventEmitter } from 'node:events';
import { type Context, ROOT_CONTEXT, SpanKind } from '@opentelemetry/api';
import { codeName } from '../../conventions/code.js';
import { recordFailure } from '../../conventions/failure.js';
import { hookAttributes } from '../../conventions/nestjs.js';
import type { Integration } from '../../nest/integration.js';
import { startTimeAt, wallTime } from '../../spans/clock.js';
import { hasMethods } from '../../wrapping/has-methods.js';
import { replaceMethod, type Undo, undoAll } from '../../wrapping/replace-method.js';
import { openSpan } from '../../spans/run-in-span.js';
import type { RunningSpan } from '../../spans/running-span.js';
import { type TracingApplication, withWork } from '../../spans/work.js';
import type { ProviderTracing } from '../../wrapping/provider-search.js';

export const startUp: Integration = {
  name: 'start-up',
  install(application, nest) {
    const { startedAt } = nest;
    if (startedAt === undefined) return;
    const trace = new StartUp(application, startedAt);
    nest.onInit(() => trace.instantiated(nest.httpServer()));
    nest.eachProvider(trace.hooks);
    nest.onBootstrap(() => trace.bootstrapping());
    nest.onClosing(() => trace.close());
  },
};

const HOOKS = ['onModuleInit', 'onApplicationBootstrap'] as const;
type Hook = (typeof HOOKS)[number];

/** Opens and ends the spans of the start, phase by phase. */
class StartUp {
  private readonly root: RunningSpan;
  private readonly context: Context;
  private readonly lease = { isOver: false };
  private readonly undo: Undo[] = [];
  private running = 0;
  private isBootstrapping = false;
  private bootstrappedAt: number | undefined;
  private waitsForListening = false;

  /** `startedAt`: milliseconds since 1970. */
  constructor(
    private readonly application: TracingApplication,
    private readonly startedAt: number,
  ) {
    const options = { kind: SpanKind.INTERNAL, startTime: startTimeAt(startedAt) };
    this.root = openSpan(application, 'application start', options, ROOT_CONTEXT);
    this.context = new LeasedContext(withWork(this.root.context, { application }), this.lease);
  }

  /** Traces the hooks of providers as part of the start. */
  readonly hooks: ProviderTracing = {
    find: ({ instance, isStatic }) => (isStatic && !this.lease.isOver && HOOKS.some(hook => hasMethods(instance, hook)) ? [instance] : []),
    install: (instance, { classRef }) => {
      const undo = undoAll(HOOKS.map(hook => this.wrap(instance, classRef.name, hook)));
      this.undo.push(undo);
      return undo;
    },
  };

  /** Called when all providers are made, before any hook runs. `server`: the HTTP server, if there is one. */
  instantiated(server: EventEmitter | undefined): void {
    this.phase('instantiation', this.startedAt, wallTime());
    if (server === undefined) return;
    this.waitsForListening = true;
    const listening = (): void => this.listening();
    const refused = (thrown: unknown): void => this.refused(thrown);
    server.once('listening', listening);
    // With a listener of `error`, an unhandled error would no longer end the process.
    server.once(errorMonitor, refused);
    this.undo.push(() => server.off('listening', listening).off(errorMonitor, refused));
  }

  /** Called before the first `onApplicationBootstrap`. */
  bootstrapping(): void {
    this.isBootstrapping = true;
    this.lookForEnd();
  }

  /** Ends the spans that have not ended: the application never listened, or is closed during its start. */
  close(): void {
    this.end(this.bootstrappedAt ?? wallTime());
  }

  private wrap(instance: object, className: string, hook: Hook): Undo {
    if (!hasMethods(instance, hook)) return () => undefined;
    return replaceMethod(instance, hook, run => {
      return async (...args) => {
        const name = codeName(className, hook);
        const running = openSpan(this.application, name, { attributes: hookAttributes(className, hook) }, this.context);
        this.running += 1;
        try {
          const result = await running.run(() => run.apply(instance, args));
          running.end();
          return result;
        } catch (thrown) {
          running.fail(thrown);
          recordFailure(this.root.span, thrown);
          this.end(wallTime());
          // The process may end next.
          await this.application.deliver();
          throw thrown;
        } finally {
          this.running -= 1;
          this.lookForEnd();
        }
      };
    });
  }

  /** Ends the start after the last hook: between hooks Nest only awaits promises, which takes no turn of the event loop. */
  private lookForEnd(): void {
    if (!this.isBootstrapping || this.running > 0) return;
    this.bootstrappedAt = wallTime();
    if (this.waitsForListening) return;
    setImmediate(() => {
      if (this.running === 0) this.end(this.bootstrappedAt ?? wallTime());
    });
  }

  private listening(): void {
    const now = wallTime();
    if (this.bootstrappedAt !== undefined && !this.lease.isOver) this.phase('listen', this.bootstrappedAt, now);
    this.end(now);
  }

  /** Called when listening failed: the port may be in use. The user's code may end the process before all is exported. */
  private refused(thrown: unknown): void {
    const now = wallTime();
    if (this.bootstrappedAt !== undefined) this.phase('listen', this.bootstrappedAt, now, { thrown });
    recordFailure(this.root.span, thrown);
    this.end(now);
    void this.application.deliver();
  }

  private phase(name: string, startTime: number, endTime: number, failure?: { readonly thrown: unknown }): void {
    if (!this.root.span.isRecording()) return;
    const phase = openSpan(this.application, name, { startTime: startTimeAt(startTime) }, this.context);
    if (failure !== undefined) recordFailure(phase.span, failure.thrown);
    phase.end(endTime);
  }

  private end(time: number): void {
    if (this.lease.isOver) return;
    this.lease.isOver = true;
    undoAll(this.undo)();
    this.root.end(time);
  }
}

/** A context that is empty after the start. Timers, workers and connections that a hook sets up keep the context of the hook. */
class LeasedContext implements Context {
  constructor(
    private readonly inner: Context,
    private readonly lease: { readonly isOver: boolean },
  ) {}

  getValue(key: symbol): unknown {
    return this.current.getValue(key);
  }

  setValue(key: symbol, value: unknown): Context {
    return this.derived(this.current.setValue(key, value));
  }

  deleteValue(key: symbol): Context {
    return this.derived(this.current.deleteValue(key));
  }

  private get current(): Context {
    return this.lease.isOver ? ROOT_CONTEXT : this.inner;
  }

  private derived(context: Context): Context {
    return this.lease.isOver ? context : new LeasedContext(context, this.lease);
  }
}
