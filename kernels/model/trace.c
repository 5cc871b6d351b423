/* QEMU plugin: which basic blocks ran, in order, with their instruction words.
 *
 *   cc -shared -fPIC -O2 trace.c -o libtrace.so
 *   qemu-aarch64 -plugin ./libtrace.so,out=FILE,limit=BLOCKS,range=0x4000-0x4100,range=... PROGRAM
 *   qemu-aarch64 -plugin ./libtrace.so,out=FILE,limit=BLOCKS,marked=on PROGRAM
 *
 * With ranges: the blocks that start in one of them; what a range calls outside of all ranges is not in it.
 * With marked=on: everything that the calling thread runs between the system call MARK with 1 as its argument and the
 * next one with 0. No kernel has that call, so that it changes nothing but errno. The program may mark many sections.
 *
 * FILE, text: a line "block ADDRESS WORD WORD ..." for each block that ran, numbered from 0 in this order, then a line
 * "ran NUMBER NUMBER ..." for each section, then "complete", or "limit" when more blocks ran than are kept. */
#include "qemu_plugin_api.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define MAX_RANGES 32
#define MAX_SECTIONS 1024
#define MARK 0x6d61726b

EXPORT int qemu_plugin_version = QEMU_PLUGIN_API_VERSION;

struct range {
  uint64_t begin, end;
};

struct block {
  uint64_t address;
  size_t count;
  size_t number; /* in FILE, from 1; 0: not there yet */
  uint32_t words[];
};

static struct range ranges[MAX_RANGES];
static size_t range_count;
static FILE* out;
static struct block** ran;
static size_t ran_count, limit = 2000000;
static size_t sections[MAX_SECTIONS]; /* where in `ran` each begins */
static size_t section_count;
static bool marked, is_recording, over_limit;
static unsigned int recorded_vcpu;

static int refuse(const char* what, const char* value) {
  fprintf(stderr, "trace: %s, got %s\n", what, value);
  return 1;
}

static bool wanted(uint64_t address) {
  for (size_t i = 0; i < range_count; ++i) {
    if (address >= ranges[i].begin && address < ranges[i].end) {
      return true;
    }
  }
  return marked;
}

static void on_run(unsigned int vcpu, void* block) {
  if (!is_recording || (marked && vcpu != recorded_vcpu)) {
    return;
  }
  if (ran_count < limit) {
    ran[ran_count++] = block;
  } else {
    over_limit = true;
  }
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb* translated) {
  (void)id;
  const uint64_t address = qemu_plugin_tb_vaddr(translated);
  if (!wanted(address)) {
    return;
  }
  const size_t count = qemu_plugin_tb_n_insns(translated);
  struct block* block = malloc(sizeof *block + count * sizeof *block->words);
  if (block == NULL) {
    abort();
  }
  *block = (struct block){.address = address, .count = count};
  for (size_t i = 0; i < count; ++i) {
    memcpy(&block->words[i], qemu_plugin_insn_data(qemu_plugin_tb_get_insn(translated, i)), sizeof *block->words);
  }
  qemu_plugin_register_vcpu_tb_exec_cb(translated, on_run, QEMU_PLUGIN_CB_NO_REGS, block);
}

static void on_syscall(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t begins, uint64_t a2,
                       uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
  (void)id, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
  if (number != MARK) {
    return;
  }
  is_recording = begins != 0 && section_count < MAX_SECTIONS;
  if (is_recording) {
    recorded_vcpu = vcpu;
    sections[section_count++] = ran_count;
  }
}

static void write_block(struct block* block, size_t number) {
  block->number = number;
  fprintf(out, "block %" PRIx64, block->address);
  for (size_t i = 0; i < block->count; ++i) {
    fprintf(out, " %08" PRIx32, block->words[i]);
  }
  fputc('\n', out);
}

static void on_exit_of_guest(qemu_plugin_id_t id, void* data) {
  (void)id;
  (void)data;
  size_t written = 0;
  for (size_t i = 0; i < ran_count; ++i) {
    if (ran[i]->number == 0) {
      write_block(ran[i], ++written);
    }
  }
  for (size_t section = 0; section < section_count; ++section) {
    const size_t end = section + 1 < section_count ? sections[section + 1] : ran_count;
    fputs("ran", out);
    for (size_t i = sections[section]; i < end; ++i) {
      fprintf(out, " %zu", ran[i]->number - 1);
    }
    fputc('\n', out);
  }
  fputs(over_limit ? "limit\n" : "complete\n", out);
  fclose(out);
}

static int add_range(const char* text) {
  if (range_count == MAX_RANGES) {
    return refuse("range: at most 32", text);
  }
  char* rest;
  struct range* range = &ranges[range_count];
  range->begin = strtoull(text, &rest, 0);
  if (*rest != '-') {
    return refuse("range: BEGIN-END", text);
  }
  range->end = strtoull(rest + 1, &rest, 0);
  ++range_count;
  return *rest == '\0' ? 0 : refuse("range: BEGIN-END", text);
}

static int take_argument(const char* argument) {
  if (strncmp(argument, "range=", 6) == 0) {
    return add_range(argument + 6);
  }
  if (strcmp(argument, "marked=on") == 0) {
    marked = true;
    return 0;
  }
  if (strncmp(argument, "limit=", 6) == 0) {
    limit = strtoull(argument + 6, NULL, 0);
    return 0;
  }
  if (strncmp(argument, "out=", 4) == 0) {
    out = fopen(argument + 4, "w");
    return out != NULL ? 0 : refuse("out: cannot be written", argument + 4);
  }
  return refuse("arguments are out, limit, range and marked", argument);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t* info, int argc, char** argv) {
  (void)info;
  for (int i = 0; i < argc; ++i) {
    if (take_argument(argv[i]) != 0) {
      return 1;
    }
  }
  ran = malloc((limit + 1) * sizeof(struct block*));
  if (out == NULL || ran == NULL) {
    return refuse("needs a file and memory", out == NULL ? "no out=FILE" : "too large a limit");
  }
  if (!marked) {
    is_recording = true;
    section_count = 1;
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
  if (marked) {
    qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
  }
  qemu_plugin_register_atexit_cb(id, on_exit_of_guest, NULL);
  return 0;
}
