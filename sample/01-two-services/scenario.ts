/** The scenario of the two services: one request, one trace. */
import type { Scenario } from '../runner/scenario.js';

export const twoServices: Scenario = {
  folder: '01-two-services',
  // A service starts after the services that it calls, and gets their addresses.
  services: [{ name: 'service-2' }, { name: 'service-1', calls: { SERVICE_2_URL: 'service-2' } }],
  entrance: 'service-1',
  requests: () => [
    {
      title: 'Service 1 calls Service 2',
      path: '/',
      status: 200,
      tree: `
        service-1: GET / (server)
          GET (client)
            service-2: GET / (server)
              service2-custom-work
      `,
      events: { 'service2-custom-work': ['Finished work'] },
    },
  ],
};
