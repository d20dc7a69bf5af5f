/** Nest's own agent as its README says, sending to a server that reads nothing. */
import { requirePeer } from './require-peer.mjs';

export function setUp(options) {
  const { createObserveModule } = requirePeer('@nestjs/observe');
  const { ObserveModule, ObserveInstrument } = createObserveModule();
  const endpoint = `http://127.0.0.1:${process.env['BENCH_DOWNSTREAM']}`;
  return {
    imports: [ObserveModule.forRoot({ appKey: 'key', appSecret: 'secret', serviceId: 'bench', endpoint, ...options })],
    instrument: ObserveInstrument,
  };
}
