/** Reports to a meter provider how many spans are made, with the same values as the SDK. */
import { type Attributes, type Counter, type MeterProvider, type SpanContext, TraceFlags, type UpDownCounter } from '@opentelemetry/api';
import { SamplingDecision } from '@opentelemetry/sdk-trace-node';
import { messages } from '../../options/messages.js';
import { reportTrouble } from '../../options/trouble.js';

/** The scope in which the SDK reports them. A spec compares it with the SDK's. */
const SCOPE = ['@opentelemetry/sdk-trace', '2.12.0'] as const;

const STARTED_SPANS = { name: 'otel.sdk.span.started', unit: '{span}', description: 'The number of created spans.' } as const;
const LIVE_SPANS = { name: 'otel.sdk.span.live', unit: '{span}', description: 'The number of currently live spans.' } as const;
/** Where the parent of a span is: nowhere, in this process, or in another one. */
const PARENT_ORIGIN = 'otel.span.parent.origin';
/** What the sampler decided. */
const SAMPLING_RESULT = 'otel.span.sampling_result';

const DROPPED = { [SAMPLING_RESULT]: 'DROP' };
const RECORDED = { [SAMPLING_RESULT]: 'RECORD_ONLY' };
const SAMPLED = { [SAMPLING_RESULT]: 'RECORD_AND_SAMPLE' };

/** The attributes of spans by the sampler's decision. */
type ByDecision = Readonly<Record<SamplingDecision, Attributes>>;

const byDecision = (more: Attributes): ByDecision => ({
  [SamplingDecision.NOT_RECORD]: { ...more, ...DROPPED },
  [SamplingDecision.RECORD]: { ...more, ...RECORDED },
  [SamplingDecision.RECORD_AND_SAMPLED]: { ...more, ...SAMPLED },
});

const WITHOUT_PARENT = byDecision({ [PARENT_ORIGIN]: 'none' });
const WITH_REMOTE_PARENT = byDecision({ [PARENT_ORIGIN]: 'remote' });
const WITH_LOCAL_PARENT = byDecision({ [PARENT_ORIGIN]: 'local' });

export class SpanMetrics {
  private readonly startedSpans: Counter;
  private readonly liveSpans: UpDownCounter;

  private constructor(meterProvider: MeterProvider) {
    const meter = meterProvider.getMeter(...SCOPE);
    const { name, ...ofStarted } = STARTED_SPANS;
    const { name: nameOfLive, ...ofLive } = LIVE_SPANS;
    this.startedSpans = meter.createCounter(name, ofStarted);
    this.liveSpans = meter.createUpDownCounter(nameOfLive, ofLive);
  }

  /** Returns undefined if there is no meter provider, or if it throws. */
  static in(meterProvider: MeterProvider | undefined): SpanMetrics | undefined {
    let made: SpanMetrics | undefined;
    if (meterProvider !== undefined) guarded(() => (made = new SpanMetrics(meterProvider)));
    return made;
  }

  /** Counts a span that starts, or that is not made because the sampler drops it. */
  started(parent: SpanContext | undefined, decision: SamplingDecision): void {
    const attributes = parent === undefined ? WITHOUT_PARENT : parent.isRemote === true ? WITH_REMOTE_PARENT : WITH_LOCAL_PARENT;
    guarded(() => {
      this.startedSpans.add(1, attributes[decision]);
      if (decision !== SamplingDecision.NOT_RECORD) this.liveSpans.add(1, decision === SamplingDecision.RECORD ? RECORDED : SAMPLED);
    });
  }

  /** Counts a recorded span that ends. */
  ended({ traceFlags }: SpanContext): void {
    guarded(() => this.liveSpans.add(-1, (traceFlags & TraceFlags.SAMPLED) === 0 ? RECORDED : SAMPLED));
  }
}

function guarded(act: () => void): void {
  try {
    act();
  } catch (error) {
    reportTrouble('meterProvider', messages.metricsFailed(), error);
  }
}
