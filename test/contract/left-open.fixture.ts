/** A spec file that passes and leaves open what keeps its process. */
import { it } from '@jest/globals';
import { createServer } from 'node:net';

it('leaves a server open', () => void createServer().listen(0, '127.0.0.1'));
