/** The official zero-code set-up: every instrumentation there is, configured by the environment. */
import { register } from 'node:module';
import { pathToFileURL } from 'node:url';
import { requirePeer } from './require-peer.mjs';

export function setUp() {
  register(pathToFileURL(requirePeer.resolve('@opentelemetry/instrumentation/hook.mjs')));
  requirePeer('@opentelemetry/auto-instrumentations-node/register');
  return {};
}
