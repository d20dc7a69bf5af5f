/** The application of one spec file: after each test its spans are forgotten, and nothing of the SDK may have found fault with them. */
import { TestApplication } from '../application.js';

export function applicationOfSpec(): TestApplication {
  const app = new TestApplication();
  afterEach(() => expect(app.reset()).toEqual([]));
  afterAll(() => app.close());
  return app;
}
