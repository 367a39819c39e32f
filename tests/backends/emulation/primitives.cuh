// The kernels' primitives on a CPU: each CUDA thread is a fiber that runs up to its next barrier.
//
// Blocks and threads go on in an order that a seed permutes. Shared memory is poisoned when the
// first thread of its block starts. A copy that is asynchronous happens when it is waited for,
// and no sooner. A launch in which no thread can go on, or one writes to a block that has ended,
// fails, and so does one that copies asynchronously from or to an address that is not aligned.
// What this cannot show: the order in which a GPU makes writes visible, whether the PTX is right,
// copies that overtake their wait, and speed.
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __device__
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define threadIdx (emulation::running->thread)
#define blockIdx (emulation::running->block->index)
#define blockDim emulation::block_size
using std::exp;
using std::log;

namespace emulation {

constexpr size_t STACK_BYTES = 64 * 1024;

struct Index {
    unsigned x;
};

struct Block {
    Index index;
    unsigned rank;
    std::vector<unsigned char> shared;  // of its own, so that a sanitizer sees its end
    unsigned n_waiting = 0, n_ended = 0;
    bool started = false;
};

struct Copy {
    void* to;
    const void* from;
    size_t n_bytes;
};

struct Fiber {
    ucontext_t context;
    std::unique_ptr<char[]> stack{new char[STACK_BYTES]};
    Index thread;
    Block* block;
    std::vector<Copy> copies;
    bool waits_for_block = false, waits_for_cluster = false;
    unsigned n_arrivals = 0;
    void* fake_stack = nullptr;
};

Fiber* running;
Index block_size;
std::vector<Block> cluster;
bool failed;
unsigned n_at_cluster, n_cluster_phases;  // arrivals that not all have made; those that all have
ucontext_t scheduler;
void* scheduler_fake_stack;
const void* scheduler_stack;
size_t scheduler_stack_bytes;
void (*body)(void*);
void* body_argument;

inline void start_switch(void** fake_stack, const void* stack, size_t n_bytes) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(fake_stack, stack, n_bytes);
#endif
}

inline void finish_switch(void* fake_stack, const void** stack, size_t* n_bytes) {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(fake_stack, stack, n_bytes);
#endif
}

inline void yield() {
    Fiber* self = running;
    start_switch(&self->fake_stack, scheduler_stack, scheduler_stack_bytes);
    swapcontext(&self->context, &scheduler);
    finish_switch(self->fake_stack, &scheduler_stack, &scheduler_stack_bytes);
}

inline void run_fiber() {
    finish_switch(nullptr, &scheduler_stack, &scheduler_stack_bytes);
    Block& block = *running->block;
    if (!block.started) {
        std::fill(block.shared.begin(), block.shared.end(), 0xff);  // NaN, also as double
        block.started = true;
    }
    body(body_argument);
    block.n_ended++;
    start_switch(nullptr, scheduler_stack, scheduler_stack_bytes);
}

inline void enter(Fiber& fiber) {
    running = &fiber;
    start_switch(&scheduler_fake_stack, fiber.stack.get(), STACK_BYTES);
    swapcontext(&scheduler, &fiber.context);
    finish_switch(scheduler_fake_stack, nullptr, nullptr);
}

// The threads that can go on, first the one with the least key. Keys are random, or make one
// block run ahead of the others with its threads in ascending or descending order.
class Queue {
  public:
    explicit Queue(unsigned long long seed) : random(seed), policy(seed % 3) {
        for (size_t i = 0; i < cluster.size(); i++) turns.push_back(i);
        std::shuffle(turns.begin(), turns.end(), random);
    }

    void push(Fiber* fiber) {
        long long key = random() >> 2;
        if (policy > 0) {
            const long long thread = fiber->thread.x, size = block_size.x;
            key = turns[fiber->block->rank] * size + (policy == 1 ? thread : size - thread);
        }
        waiting.insert({key, fiber});
    }

    Fiber* pop() {
        Fiber* fiber = waiting.begin()->second;
        waiting.erase(waiting.begin());
        return fiber;
    }

    bool empty() const { return waiting.empty(); }

  private:
    std::mt19937_64 random;
    int policy;
    std::vector<long long> turns;
    std::set<std::pair<long long, Fiber*>> waiting;
};

// Run the blocks of one cluster; false if some thread can never go on.
inline bool run_cluster(std::deque<Fiber>& fibers, unsigned long long seed) {
    Queue queue(seed);
    const unsigned n_threads = block_size.x;
    unsigned n_ended = 0, n_phases_seen = 0;
    n_at_cluster = n_cluster_phases = 0;
    for (size_t i = 0; i < fibers.size(); i++) {
        Fiber& fiber = fibers[i];
        fiber.thread = {static_cast<unsigned>(i % n_threads)};
        fiber.block = &cluster[i / n_threads];
        fiber.copies.clear();
        fiber.n_arrivals = 0;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.get();
        fiber.context.uc_stack.ss_size = STACK_BYTES;
        fiber.context.uc_link = &scheduler;
        makecontext(&fiber.context, run_fiber, 0);
        queue.push(&fiber);
    }
    while (!queue.empty()) {
        Fiber* fiber = queue.pop();
        enter(*fiber);
        if (fiber->waits_for_block) {
            if (++fiber->block->n_waiting == n_threads) {
                fiber->block->n_waiting = 0;
                for (Fiber& other : fibers)
                    if (other.block == fiber->block && other.waits_for_block) {
                        other.waits_for_block = false;
                        queue.push(&other);
                    }
            }
        } else if (!fiber->waits_for_cluster) {
            n_ended++;
        }
        if (n_phases_seen < n_cluster_phases) {
            n_phases_seen = n_cluster_phases;
            for (Fiber& other : fibers)
                if (other.waits_for_cluster) {
                    other.waits_for_cluster = false;
                    queue.push(&other);
                }
        }
    }
    return n_ended == fibers.size();
}

// Launch a kernel; 0 if every thread came to its end.
template <class... Arguments, size_t... I>
int launch(
    void (*kernel)(Arguments...), std::index_sequence<I...>, void** arguments, unsigned grid,
    unsigned block, unsigned cluster_size, size_t shared_bytes, unsigned long long seed
) {
    auto call = [=] { kernel(*static_cast<std::decay_t<Arguments>*>(arguments[I])...); };
    body = [](void* argument) { (*static_cast<decltype(call)*>(argument))(); };
    body_argument = &call;
    block_size = {block};
    failed = false;
    static std::deque<Fiber> fibers;
    const size_t n_fibers = static_cast<size_t>(cluster_size) * block;
    if (fibers.size() != n_fibers) {
        fibers.clear();
        fibers.resize(n_fibers);
    }
    std::vector<unsigned> firsts;
    for (unsigned first = 0; first < grid; first += cluster_size) firsts.push_back(first);
    std::shuffle(firsts.begin(), firsts.end(), std::mt19937_64(seed));
    for (unsigned first : firsts) {
        cluster.clear();
        for (unsigned rank = 0; rank < cluster_size; rank++)
            cluster.push_back({{first + rank}, rank, std::vector<unsigned char>(shared_bytes)});
        if (!run_cluster(fibers, seed++)) return 1;
    }
    return failed ? 2 : 0;
}

}  // namespace emulation

#define EMULATED(kernel, cluster_size)                                                        \
    template <class... A>                                                                     \
    std::index_sequence_for<A...> indices_of_##kernel(void (*)(A...)) { return {}; }          \
    extern "C" int launch_##kernel(                                                           \
        void** arguments, unsigned grid, unsigned block, size_t shared_bytes,                 \
        unsigned long long seed                                                               \
    ) {                                                                                       \
        return emulation::launch(                                                             \
            kernel, indices_of_##kernel(kernel), arguments, grid, block, cluster_size,        \
            shared_bytes, seed                                                                \
        );                                                                                    \
    }

inline unsigned char* shared_memory() { return emulation::running->block->shared.data(); }

inline void block_barrier() {
    emulation::running->waits_for_block = true;
    emulation::yield();
}

inline unsigned cluster_rank() { return emulation::running->block->rank; }

inline void cluster_arrive() {
    auto& self = *emulation::running;
    if (self.n_arrivals > emulation::n_cluster_phases) emulation::failed = true;  // no wait
    self.n_arrivals++;
    if (++emulation::n_at_cluster == emulation::cluster.size() * emulation::block_size.x) {
        emulation::n_at_cluster = 0;
        emulation::n_cluster_phases++;
    }
}

inline void cluster_wait() {
    auto& self = *emulation::running;
    if (self.n_arrivals <= emulation::n_cluster_phases) return;
    self.waits_for_cluster = true;
    emulation::yield();
}

template <class Real>
inline void store_in_block(Real* address, unsigned rank, Real value) {
    auto& there = emulation::cluster[rank];
    if (there.n_ended > 0) emulation::failed = true;
    const size_t offset = reinterpret_cast<unsigned char*>(address) - shared_memory();
    *reinterpret_cast<Real*>(there.shared.data() + offset) = value;
}

template <int BYTES>
inline void copy_async(void* shared, const void* global) {
    const auto places = reinterpret_cast<size_t>(shared) | reinterpret_cast<size_t>(global);
    if (places % BYTES != 0) emulation::failed = true;
    emulation::running->copies.push_back({shared, global, BYTES});
}

inline void copy_async_wait() {
    for (const auto& copy : emulation::running->copies)
        std::memcpy(copy.to, copy.from, copy.n_bytes);
    emulation::running->copies.clear();
}
