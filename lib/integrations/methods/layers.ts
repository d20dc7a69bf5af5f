/** Traces what the HTTP framework calls: middleware of Express and middie, hooks of Fastify, and the reply of Nest's adapter. */
import type { AbstractHttpAdapter } from '@nestjs/core';
import type { FrameworkLayer } from '../../nest/integration.js';
import { runPending } from '../../spans/pending-call.js';
import { type Method, replaceMethod, type Undo } from '../../wrapping/replace-method.js';
import { originOf } from './source-files.js';
import { type Runner, tracedCall } from './traced-call.js';
import { runHook, runMiddleware } from './until-next.js';

/** Returns the layer whose calls are spans. */
export function tracedLayer({ fn, hook, plugin }: FrameworkLayer): Method {
  if (hook === undefined) return tracedFunction(fn, fn.name || 'middleware');
  const isOfPlugin = fn.name === '' && plugin !== undefined && originOf(fn) !== 'application';
  return tracedFunction(fn, fn.name || (isOfPlugin ? `${plugin}.${hook}` : hook), true);
}

/** Traces how answers are made out of results: big ones take long to serialize. Returns how to undo it. */
export function traceReplies(adapter: AbstractHttpAdapter): Undo {
  const holder = adapter.constructor;
  return replaceMethod(adapter, 'reply', reply =>
    tracedCall(holder.prototype as object, 'reply', reply, { holder, step: 'reply' }, runReply),
  );
}

/** The result is not followed: Fastify's reply can be awaited, and that asks for its end. */
const runReply: Runner = (site, active, fn, self, args) => {
  let result: unknown;
  const reply: Method = function (...given) {
    result = Reflect.apply(fn, this, given);
  };
  runPending(site, active, reply, self, args);
  return result;
};

/** Returns middleware, or a hook, whose calls are spans by the name. */
export function tracedFunction(fn: Method, name: string, isHook = false): Method {
  const holder = class {};
  Object.defineProperty(holder, 'name', { value: '' });
  return tracedCall(holder.prototype, name, fn, { holder, step: isHook ? 'hook' : 'middleware' }, isHook ? runHook : runMiddleware);
}
