/** The start of an application as one trace: making its providers, the hooks of its modules and providers, listening. */
import { errorMonitor } from 'node:events';
import { type Context, ROOT_CONTEXT, type Span, SpanKind, trace } from '@opentelemetry/api';
import type { ModulesContainer } from '@nestjs/core';
import { codeName } from '../conventions/code.js';
import { recordFailure } from '../conventions/failure.js';
import { hookAttributes, START_UP } from '../conventions/nest-work.js';
import { hasMethods } from '../local/has-methods.js';
import { replaceMethod } from '../local/replace-method.js';
import { RunningSpan } from '../local/running-span.js';
import { type TracingApplication, withWork } from '../local/work.js';
import { type Entrance, openEntrances } from './static-providers.js';

type Hook = 'onModuleInit' | 'onApplicationBootstrap';

/** What can be listened with: an HTTP server, a server of a microservice. */
interface Listening {
  once(event: 'listening' | typeof errorMonitor, listener: (thrown: unknown) => void): unknown;
  off(event: 'listening' | typeof errorMonitor, listener: (thrown: unknown) => void): Listening;
}

/** Span by span, as Nest goes from phase to phase. @internal */
export class StartUp {
  private readonly root: Span;
  private readonly context: Context;
  private readonly lease = { isOver: false };
  private readonly undo: (() => void)[] = [];
  private running = 0;
  private isBootstrapping = false;
  private bootstrappedAt: number | undefined;
  private waitsForListening = false;

  /** `startedAt`: milliseconds since 1970. `deliver` resolves when what has ended was delivered, or after a deadline. */
  constructor(
    private readonly application: TracingApplication,
    private readonly startedAt: number,
    private readonly deliver: () => Promise<void>,
  ) {
    const options = { kind: SpanKind.INTERNAL, startTime: startedAt };
    this.root = application.unsampledSpan(ROOT_CONTEXT) ?? application.tracer.startSpan(START_UP.name, options, ROOT_CONTEXT);
    this.context = new LeasedContext(withWork(trace.setSpan(ROOT_CONTEXT, this.root), { application }), this.lease);
  }

  /** All providers are made, and no hook has run yet. `server` is that of HTTP, if there is one. */
  instantiated(modules: ModulesContainer, server: Listening | undefined, except: object): void {
    this.phase(START_UP.instantiation, this.startedAt, Date.now());
    const hooks: Entrance = ({ instance, classRef, isStatic }) => {
      if (!isStatic || instance === except) return undefined;
      for (const hook of ['onModuleInit', 'onApplicationBootstrap'] as const) this.wrap(instance, classRef.name, hook);
      return undefined;
    };
    this.undo.push(openEntrances(modules, [hooks]));
    if (server === undefined) return;
    this.waitsForListening = true;
    const listening = (): void => this.listening();
    const refused = (thrown: unknown): void => this.refused(thrown);
    server.once('listening', listening);
    // Who listens to the event itself would keep an error that nobody handles from ending the process.
    server.once(errorMonitor, refused);
    this.undo.push(() => server.off('listening', listening).off(errorMonitor, refused));
  }

  /** The first of the hooks that end a start. */
  bootstrapping(): void {
    this.isBootstrapping = true;
    this.lookForEnd();
  }

  /** Ends what has not ended: nobody listened, or the application is closed while it starts. */
  close(): void {
    this.end(this.bootstrappedAt ?? Date.now());
  }

  private wrap(instance: object, className: string, hook: Hook): void {
    if (!hasMethods(instance, hook)) return;
    this.undo.push(
      replaceMethod(instance, hook, run => {
        return async (...args) => {
          const name = codeName(className, hook);
          const span = this.application.tracer.startSpan(name, { attributes: hookAttributes(className, hook) }, this.context);
          const running = new RunningSpan(span, trace.setSpan(this.context, span));
          this.running += 1;
          try {
            const result = await running.run(() => run.apply(instance, args));
            running.end();
            return result;
          } catch (thrown) {
            running.fail(thrown);
            if (this.root.isRecording()) recordFailure(this.root, thrown);
            this.end(Date.now());
            // The process may end next.
            await this.deliver();
            throw thrown;
          } finally {
            this.running -= 1;
            this.lookForEnd();
          }
        };
      }),
    );
  }

  /** From one hook to the next Nest takes no turn of the event loop: where one goes by without a hook, there is none left. */
  private lookForEnd(): void {
    if (!this.isBootstrapping || this.running > 0) return;
    this.bootstrappedAt = Date.now();
    if (this.waitsForListening) return;
    setImmediate(() => {
      if (this.running === 0) this.end(this.bootstrappedAt ?? Date.now());
    });
  }

  private listening(): void {
    const now = Date.now();
    if (this.bootstrappedAt !== undefined && !this.lease.isOver) this.phase(START_UP.listen, this.bootstrappedAt, now);
    this.end(now);
  }

  /** The port is taken, for one. The application hears of it at once: what is delivered until it ends the process cannot be waited for. */
  private refused(thrown: unknown): void {
    const now = Date.now();
    if (this.bootstrappedAt !== undefined && this.root.isRecording()) {
      const span = this.application.tracer.startSpan(START_UP.listen, { startTime: this.bootstrappedAt }, this.context);
      recordFailure(span, thrown);
      span.end(now);
    }
    recordFailure(this.root, thrown);
    this.end(now);
    void this.deliver();
  }

  private phase(name: string, startTime: number, endTime: number): void {
    if (this.root.isRecording()) this.application.tracer.startSpan(name, { startTime }, this.context).end(endTime);
  }

  private end(time: number): void {
    if (this.lease.isOver) return;
    this.lease.isOver = true;
    for (const step of this.undo.splice(0).reverse()) step();
    if (this.root.isRecording()) this.root.end(time);
  }
}

/** Timers, workers and connections that hooks set up live on in the context of the hook; when the start is over, it is an empty one. */
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
