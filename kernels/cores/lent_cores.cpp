/// Where the threads of a parallel region run. Preloaded: GCC turns `#pragma omp parallel` into calls of GOMP_parallel,
/// which torch, oneDNN, inductor's code, vLLM and our kernels then find here, in front of libgomp's own.
///
/// Threads below `own` belong to the engine's cores. Those above are guests on cores that others have lent: they are
/// entered in a table, so that an owner that begins to work sends them home itself, and wake under SCHED_BATCH, which
/// preempts nobody (docs/decisions/0009). libgomp ends threads that a smaller team leaves over and makes new ones for a
/// larger team, even within one step of a model, where oneDNN asks for few: so it is each thread that finds its place,
/// whenever it has none.
#include <dlfcn.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

using Word = std::atomic<std::uint64_t>;  // in memory that several processes map
static_assert(Word::is_always_lock_free && sizeof(Word) == sizeof(std::uint64_t));

constexpr std::uint64_t kKind = 3, kStepping = 1;  // the low bits of a state, as lending_table.py writes it

struct Places {
  std::vector<int> cores;
  std::vector<Word*> owners;  // of the guests' cores; null where no engine owns one
  std::size_t own = 0;
  Word* guests = nullptr;  // who sits where, for owners to send home: thread << 32 | core
  cpu_set_t home;
  std::uint64_t version = 0;  // 0: nobody said yet
};

Places places;                       // written by the leader, between its regions
thread_local bool is_leader = false;  // of the thread whose regions are placed: other threads have teams of their own
thread_local std::uint64_t placed_for = 0;

template <typename Function>
Function found(const char* name) {
  void* symbol = dlsym(RTLD_NEXT, name);
  if (symbol == nullptr) {
    std::fprintf(stderr, "axion_cores: %s: not found behind this library. Preload torch's libgomp after it.\n", name);
    std::abort();
  }
  return reinterpret_cast<Function>(symbol);
}

void sit(const cpu_set_t& cores) { sched_setaffinity(0, sizeof cores, &cores); }

void sit(int core) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(core, &one);
  sit(one);
}

void become_guest(std::size_t guest, int core) {
  const sched_param none{};
  sched_setscheduler(0, SCHED_BATCH, &none);  // when it wakes it preempts nobody
  sit(core);
  const auto thread = static_cast<std::uint64_t>(syscall(SYS_gettid));
  places.guests[guest].store(thread << 32 | static_cast<std::uint32_t>(core));
  // An owner first says that it steps, then looks for guests. So either it has seen this one, or this sees it step.
  const Word* owner = places.owners[guest];
  if (owner != nullptr && (owner->load() & kKind) == kStepping) {
    sit(places.home);
    places.guests[guest].store(0);
  }
}

void find_place(std::size_t thread) {
  if (placed_for == places.version) {
    return;
  }
  placed_for = places.version;
  if (thread < places.own) {
    sit(places.cores[thread]);
  } else if (thread < places.cores.size()) {
    become_guest(thread - places.own, places.cores[thread]);
  } else {  // more than there are cores: whoever asks for them has them share its own
    sit(places.home);
  }
}

struct Region {
  void (*body)(void*);
  void* data;

  static void run(void* data) {
    static const auto thread_num = found<int (*)()>("omp_get_thread_num");
    const Region region = *static_cast<const Region*>(data);
    find_place(static_cast<std::size_t>(thread_num()));
    region.body(region.data);
  }
};

}  // namespace

extern "C" {

/// Have the calling thread's regions run on `count` cores from now on, the first `own` of which are its engine's own.
/// `home`: where guests go whose owner works, `homes` core numbers. `guests` and `owners`: addresses in the table.
void axion_use_cores(const int* cores, std::size_t count, std::size_t own, const int* home, std::size_t homes,
                     std::uint64_t* guests, std::uint64_t* const* owners) {
  static const auto set_num_threads = found<void (*)(int)>("omp_set_num_threads");
  Places next;
  next.cores.assign(cores, cores + count);
  next.own = own;
  next.guests = reinterpret_cast<Word*>(guests);
  for (std::size_t i = 0; i < count - own; ++i) {
    next.owners.push_back(reinterpret_cast<Word*>(owners[i]));
  }
  CPU_ZERO(&next.home);
  for (std::size_t i = 0; i < homes; ++i) {
    CPU_SET(home[i], &next.home);
  }
  next.version = places.version + 1;
  places = std::move(next);
  is_leader = true;
  set_num_threads(static_cast<int>(count));
  find_place(0);
}

/// Store a state so that every later load of this thread comes after it.
void axion_announce(std::uint64_t* state, std::uint64_t value) {
  reinterpret_cast<Word*>(state)->store(value);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

// libgomp's own name: this is the function that others call.
void GOMP_parallel(void (*body)(void*), void* data, unsigned threads, unsigned flags) {
  static const auto parallel = found<void (*)(void (*)(void*), void*, unsigned, unsigned)>("GOMP_parallel");
  if (!is_leader) {
    parallel(body, data, threads, flags);
    return;
  }
  Region region{body, data};
  parallel(Region::run, &region, threads, flags);
}
}
