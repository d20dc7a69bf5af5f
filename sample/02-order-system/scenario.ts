/** The scenario of the order system: five requests and their expected traces. */
import type { Scenario } from '../runner/scenario.js';

export const orderSystem: Scenario = {
  folder: '02-order-system',
  services: [
    { name: 'user-service' },
    { name: 'order-service', calls: { USER_SERVICE_URL: 'user-service' } },
    { name: 'api-gateway', calls: { ORDER_SERVICE_URL: 'order-service' } },
  ],
  entrance: 'api-gateway',
  requests: () => [
    {
      title: 'An order is found',
      path: '/orders/1',
      status: 200,
      tree: `
        api-gateway: GET /orders/:id (server)
          GET (client)
            order-service: GET /orders/:id (server)
              OrdersService.load
                PricesService.priceOf
                GET (client)
                  user-service: GET /users/:id (server)
                    SELECT users (client)
      `,
      events: { 'OrdersService.load': ['order.priced'] },
    },
    {
      title: 'An order does not exist: 404 from the Order Service',
      path: '/orders/99',
      status: 404,
      tree: `
        api-gateway: GET /orders/:id (server)
          GET (client) error=404
            order-service: GET /orders/:id (server)
              OrdersService.load error=NotFoundException
      `,
    },
    {
      title: 'An order number is no number: the gateway refuses it',
      path: '/orders/seven',
      status: 400,
      tree: `
        GET /orders/:id (server)
      `,
    },
    {
      title: 'A slow one: twelve prices, read one after the other',
      path: '/orders/2',
      status: 200,
      tree: `
        api-gateway: GET /orders/:id (server)
          GET (client)
            order-service: GET /orders/:id (server)
              OrdersService.load
${'                PricesService.priceOf\n'.repeat(12)}                GET (client)
                  user-service: GET /users/:id (server)
                    SELECT users (client)
      `,
    },
    {
      title: 'A failure two services away: the database cannot read a user',
      path: '/orders/3',
      status: 502,
      tree: `
        api-gateway: GET /orders/:id (server) error=502
          GET (client) error=502
            order-service: GET /orders/:id (server) error=502
              OrdersService.load error=BadGatewayException
                PricesService.priceOf
                GET (client) error=500
                  user-service: GET /users/:id (server) error=500
                    SELECT users (client) error=QueryFailedError
      `,
    },
  ],
};
