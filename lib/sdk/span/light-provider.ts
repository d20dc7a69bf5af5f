/** A provider of the SDK whose tracers make light spans. */
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { INSPECT, type InspectArguments, inspectAs, knownAttributes } from './inspect.js';
import { LightTracer, type TracerSettings } from './light-tracer.js';

export class LightTracerProvider extends NodeTracerProvider {
  private readonly tracers = new Map<string, LightTracer>();

  constructor(private readonly settings: TracerSettings) {
    const { resource, sampler, limits, idGenerator, processors } = settings;
    super({ resource, sampler, spanLimits: limits, idGenerator, spanProcessors: [...processors] });
  }

  override getTracer(name: string, version?: string, options?: { readonly schemaUrl?: string }): LightTracer {
    const schemaUrl = options?.schemaUrl;
    const key = `${name}@${version ?? ''}:${schemaUrl ?? ''}`;
    let tracer = this.tracers.get(key);
    if (tracer === undefined) this.tracers.set(key, (tracer = new LightTracer({ name, version, schemaUrl }, this.settings)));
    return tracer;
  }

  /** The SDK's provider does not know these tracers. */
  [INSPECT](...how: InspectArguments): unknown {
    const { resource, processors } = this.settings;
    const spanProcessors = processors.map(processor => processor.constructor?.name ?? 'SpanProcessor');
    const fields = { resource: { attributes: knownAttributes(resource) }, tracers: [...this.tracers.keys()], spanProcessors };
    return inspectAs('TracerProvider', fields, how);
  }
}
