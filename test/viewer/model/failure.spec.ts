import { isUserFrame } from '../../../lib/conventions/stack-frames.js';

describe('the frames of an error', () => {
  it.each([
    'async UsersService.find (/app/src/users/users.service.ts:12:5)',
    'async Orders.load (/app/src/repository/OrderRepository.ts:7:1)',
    'main (/app/src/driver/main.ts:1:1)',
  ])('show as code of the user: %s', frame => expect(isUserFrame(`    at ${frame}`)).toBe(true));

  it.each([
    'SqljsQueryRunner.query (/app/src/driver/sqljs/SqljsQueryRunner.ts:185:19)',
    'async SelectQueryBuilder.getRawOne (/app/src/query-builder/SelectQueryBuilder.ts:1:1)',
    'async Repository.find (/app/src/repository/Repository.ts:1:1)',
    'Client.query (/app/node_modules/pg/lib/client.js:1:1)',
  ])('show as code of a library: %s', frame => expect(isUserFrame(`    at ${frame}`)).toBe(false));
});
