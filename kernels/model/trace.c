/* QEMU plugin: which basic blocks of some address ranges ran, in order, with their instruction words.
 *
 *   cc -shared -fPIC -O2 trace.c -o libtrace.so
 *   qemu-aarch64 -plugin ./libtrace.so,out=FILE,limit=BLOCKS,range=0x4000-0x4100,range=... PROGRAM
 *
 * FILE, text: a line "block ADDRESS WORD WORD ..." for each translated block, numbered from 0 in this order, then one
 * line "ran NUMBER NUMBER ...", then "complete", or "limit" when more blocks ran than are kept.
 * Blocks count by where they start: what a range calls outside of all ranges is not in it. One guest thread. */
#include "qemu_plugin_api.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define MAX_RANGES 32

EXPORT int qemu_plugin_version = QEMU_PLUGIN_API_VERSION;

struct range {
  uint64_t begin, end;
};

static struct range ranges[MAX_RANGES];
static size_t range_count;
static FILE* out;
static uintptr_t block_count;
static uint32_t* ran;
static size_t ran_count, limit = 2000000;
static bool over_limit;

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
  return false;
}

static void on_run(unsigned int vcpu, void* number) {
  (void)vcpu;
  if (ran_count < limit) {
    ran[ran_count++] = (uint32_t)(uintptr_t)number;
  } else {
    over_limit = true;
  }
}

static void on_translate(qemu_plugin_id_t id, struct qemu_plugin_tb* block) {
  (void)id;
  const uint64_t address = qemu_plugin_tb_vaddr(block);
  if (!wanted(address)) {
    return;
  }
  fprintf(out, "block %" PRIx64, address);
  for (size_t i = 0; i < qemu_plugin_tb_n_insns(block); ++i) {
    uint32_t word;
    memcpy(&word, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(block, i)), sizeof word);
    fprintf(out, " %08" PRIx32, word);
  }
  fputc('\n', out);
  qemu_plugin_register_vcpu_tb_exec_cb(block, on_run, QEMU_PLUGIN_CB_NO_REGS, (void*)block_count++);
}

static void on_exit_of_guest(qemu_plugin_id_t id, void* data) {
  (void)id;
  (void)data;
  fputs("ran", out);
  for (size_t i = 0; i < ran_count; ++i) {
    fprintf(out, " %" PRIu32, ran[i]);
  }
  fputs(over_limit ? "\nlimit\n" : "\ncomplete\n", out);
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
  if (strncmp(argument, "limit=", 6) == 0) {
    limit = strtoull(argument + 6, NULL, 0);
    return 0;
  }
  if (strncmp(argument, "out=", 4) == 0) {
    out = fopen(argument + 4, "w");
    return out != NULL ? 0 : refuse("out: cannot be written", argument + 4);
  }
  return refuse("arguments are out, limit and range", argument);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t* info, int argc, char** argv) {
  (void)info;
  for (int i = 0; i < argc; ++i) {
    if (take_argument(argv[i]) != 0) {
      return 1;
    }
  }
  ran = malloc((limit + 1) * sizeof *ran);
  if (out == NULL || ran == NULL) {
    return refuse("needs a file and memory", out == NULL ? "no out=FILE" : "too large a limit");
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
  qemu_plugin_register_atexit_cb(id, on_exit_of_guest, NULL);
  return 0;
}
