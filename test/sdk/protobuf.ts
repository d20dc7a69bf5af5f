/** Reads protobuf off the wire, knowing nothing of the encoder under test: https://protobuf.dev/programming-guides/encoding */

/** The values of a message by field number, in the order they came. */
export type Message = ReadonlyMap<number, readonly (bigint | Buffer)[]>;

export function readMessage(bytes: Buffer): Message {
  const fields = new Map<number, (bigint | Buffer)[]>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes.readUInt8(at++);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw new Error('a field is longer than its message');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = varint();
    const wireType = Number(tag & 7n);
    let value: bigint | Buffer;
    if (wireType === 0) value = varint();
    else if (wireType === 1) value = take(8).readBigUInt64LE();
    else if (wireType === 2) value = take(Number(varint()));
    else if (wireType === 5) value = BigInt(take(4).readUInt32LE());
    else throw new Error(`wire type ${wireType} is not used by OTLP`);
    const field = Number(tag >> 3n);
    fields.set(field, [...(fields.get(field) ?? []), value]);
  }
  return fields;
}

export const messagesIn = (message: Message, field: number): Message[] =>
  (message.get(field) ?? []).map(value => readMessage(value as Buffer));
export const textIn = (message: Message, field: number): string => ((message.get(field)?.[0] ?? Buffer.alloc(0)) as Buffer).toString();
export const hexIn = (message: Message, field: number): string => ((message.get(field)?.[0] ?? Buffer.alloc(0)) as Buffer).toString('hex');
export const numberIn = (message: Message, field: number): number => Number(message.get(field)?.[0] ?? 0n);
