/*
 * Partition tables, as far as letting a partition grow goes: GPT (UEFI specification, 5.3) and that
 * of the PC. Works on any file, so that it can be tested without a disk.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "agent.h"
#include "partition.h"

enum {
	/* File systems want whole blocks of 4 KiB. */
	ALIGNMENT = 8,
	/* The table of the PC, in the first sector. */
	PC_ENTRIES = 446, PC_ENTRY = 16, PC_COUNT = 4, PC_TYPE = 4, PC_START = 8, PC_SECTORS = 12,
	/* GPT: the header, in the second sector; entries follow it. */
	GPT_SIZE = 12, GPT_CRC = 16, GPT_OWN = 24, GPT_OTHER = 32, GPT_LAST_USABLE = 48,
	GPT_ENTRIES = 72, GPT_COUNT = 80, GPT_EACH = 84, GPT_ENTRIES_CRC = 88, GPT_LEAST = 92,
	GPT_ENTRY = 128, ENTRY_FIRST = 32, ENTRY_LAST = 40,
};

/* The start of a disk: both tables, with the 128 entries that every GPT has. */
static uint8_t head[40 * SECTOR];
static uint8_t *const header = head + SECTOR, *const entries = head + 2 * SECTOR;

/* Both kinds of tables have their numbers lowest byte first. */
static uint64_t get(const uint8_t *at, int bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | at[bytes];
	return value;
}

static void put(uint8_t *at, int bytes, uint64_t value)
{
	for (; bytes--; value >>= 8)
		*at++ = (uint8_t)value;
}

static uint32_t crc32(const uint8_t *bytes, size_t length)
{
	uint32_t crc = ~0u;

	while (length--) {
		crc ^= *bytes++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

static uint32_t header_crc(const uint8_t *of)
{
	uint8_t copy[SECTOR];

	memcpy(copy, of, SECTOR);
	put(copy + GPT_CRC, 4, 0);
	return crc32(copy, get(copy + GPT_SIZE, 4));
}

/* Writes all of it. */
static bool write_at(int disk, const void *bytes, size_t length, uint64_t sector)
{
	ssize_t done = pwrite(disk, bytes, length, (off_t)(sector * SECTOR));

	if (done >= 0 && (size_t)done != length)
		errno = EIO;
	return done >= 0 && (size_t)done == length;
}

static bool refuse(int error)
{
	errno = error;
	return false;
}

static bool grow_pc(int disk, uint64_t sectors, unsigned number, struct span *span)
{
	uint8_t *entry = head + PC_ENTRIES + (number - 1) * PC_ENTRY;
	uint64_t most = UINT32_MAX;

	if (number > PC_COUNT || !entry[PC_TYPE])
		return refuse(EINVAL);
	span->start = get(entry + PC_START, 4);
	for (unsigned i = 0; i < PC_COUNT; i++) {
		uint8_t *other = head + PC_ENTRIES + i * PC_ENTRY;

		if (other[PC_TYPE] && get(other + PC_START, 4) > span->start)
			return refuse(0);
	}
	if (sectors < span->start)
		return refuse(EINVAL);
	span->sectors = sectors / ALIGNMENT * ALIGNMENT - span->start;
	if (span->sectors > most)
		span->sectors = most / ALIGNMENT * ALIGNMENT;
	if (span->sectors <= get(entry + PC_SECTORS, 4))
		return refuse(0);
	put(entry + PC_SECTORS, 4, span->sectors);
	return write_at(disk, head, SECTOR, 0) && fsync(disk) == 0;
}

/* The table that covers all of the disk for those who know no GPT. */
static void cover(uint64_t sectors)
{
	for (unsigned i = 0; i < PC_COUNT; i++) {
		uint8_t *entry = head + PC_ENTRIES + i * PC_ENTRY;

		if (entry[PC_TYPE] == 0xee)
			put(entry + PC_SECTORS, 4, sectors - 1 > UINT32_MAX ? UINT32_MAX : sectors - 1);
	}
}

static bool grow_gpt(int disk, uint64_t sectors, unsigned number, struct span *span)
{
	uint64_t size = get(header + GPT_SIZE, 4), count = get(header + GPT_COUNT, 4);
	size_t length = count * GPT_ENTRY;
	uint8_t *entry = entries + (number - 1) * GPT_ENTRY, other_header[SECTOR];
	uint64_t tail, last;

	if (size < GPT_LEAST || size > SECTOR || get(header + GPT_EACH, 4) != GPT_ENTRY ||
	    get(header + GPT_ENTRIES, 8) != 2 || count > (sizeof head - 2 * SECTOR) / GPT_ENTRY ||
	    number > count)
		return refuse(ENOTSUP);
	if (get(header + GPT_CRC, 4) != header_crc(header) ||
	    get(header + GPT_ENTRIES_CRC, 4) != crc32(entries, length))
		return refuse(EINVAL);
	span->start = get(entry + ENTRY_FIRST, 8);
	last = get(entry + ENTRY_LAST, 8);
	if (span->start < 2 || last < span->start)
		return refuse(EINVAL);
	for (unsigned i = 0; i < count; i++)
		if (get(entries + i * GPT_ENTRY + ENTRY_FIRST, 8) > last)
			return refuse(0);
	/* The second copy is at the very end: its entries, then its header. */
	tail = sectors - 1 - (length + SECTOR - 1) / SECTOR;
	if (sectors < sizeof head / SECTOR || tail / ALIGNMENT * ALIGNMENT <= last + 1)
		return refuse(0);
	span->sectors = tail / ALIGNMENT * ALIGNMENT - span->start;
	put(entry + ENTRY_LAST, 8, span->start + span->sectors - 1);
	put(header + GPT_LAST_USABLE, 8, tail - 1);
	put(header + GPT_OTHER, 8, sectors - 1);
	put(header + GPT_ENTRIES_CRC, 4, crc32(entries, length));
	memcpy(other_header, header, SECTOR);
	put(other_header + GPT_OWN, 8, sectors - 1);
	put(other_header + GPT_OTHER, 8, 1);
	put(other_header + GPT_ENTRIES, 8, tail);
	put(other_header + GPT_CRC, 4, header_crc(other_header));
	put(header + GPT_CRC, 4, header_crc(header));
	cover(sectors);
	/* What counts comes last, and in one write: its first block has all that changes. */
	return write_at(disk, entries, length, tail) &&
	       write_at(disk, other_header, SECTOR, sectors - 1) && fsync(disk) == 0 &&
	       write_at(disk, head, sizeof head, 0) && fsync(disk) == 0;
}

bool partition_grow(int disk, uint64_t bytes, unsigned number, struct span *span)
{
	ssize_t count = pread(disk, head, sizeof head, 0);

	if (count < 0)
		return false;
	if (count != sizeof head || number == 0 || head[510] != 0x55 || head[511] != 0xaa)
		return refuse(EINVAL);
	if (memcmp(header, "EFI PART", 8) == 0)
		return grow_gpt(disk, bytes / SECTOR, number, span);
	return grow_pc(disk, bytes / SECTOR, number, span);
}
