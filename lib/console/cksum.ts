/** The checksum of POSIX cksum(1), which every guest can compute. Pure. */

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1;
  return crc >>> 0;
});

/** What `cksum` prints for these bytes on its stdin: the checksum and their number. */
export function cksum(bytes: Uint8Array): string {
  let crc = 0;
  const add = (byte: number) => crc = (crc << 8) ^ TABLE[(crc >>> 24) ^ byte];
  for (const byte of bytes) add(byte);
  for (let length = bytes.byteLength; length > 0; length = Math.floor(length / 256)) {
    add(length & 0xff);
  }
  return `${~crc >>> 0} ${bytes.byteLength}`;
}
