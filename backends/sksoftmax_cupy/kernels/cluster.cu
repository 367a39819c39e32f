// An epoch in one launch: a cluster of blocks, each of which owns a slice of the features.
//
// A block keeps the parameters, velocities and averages of its features in shared memory for
// the whole epoch and reads nothing but its slice of each row, a tile of rows at a time, the
// next one while it works on this one. It tells all blocks what its features add to the scores
// of the tile; each then computes the same residuals, hence the gradient of its own features:
// no gradient ever leaves a block. The intercepts are one more column of ones, which every
// block keeps for itself.
//
// The rule that finds its own steps has no velocities: in their place is kept the point where
// gradients are taken.
//
// Defined by whoever compiles, besides what the headers ask for: CLUSTER, the number of
// blocks; CHUNK, the bytes that are copied at once, to which the slices of rows are aligned;
// OWN_STEPS, whether the rule finds its own steps, or 0 for heavy-ball momentum.
// cluster_shared_bytes in plan.py is the sum of the arrays laid out below.
#include "primitives.cuh"
#include "softmax.cuh"
#include "norms.cuh"

constexpr int CHUNK_ELEMENTS = CHUNK / sizeof(ROW);
constexpr int CHUNK_REALS = CHUNK_ELEMENTS * sizeof(REAL);

struct alignas(CHUNK) Chunk {
    ROW of[CHUNK_ELEMENTS];
};

struct alignas(CHUNK_REALS < 16 ? CHUNK_REALS : 16) Means {
    REAL of[CHUNK_ELEMENTS];
};

// What the blocks tell each other of the squares of their features, and what each makes of it.
struct alignas(16) Exchange {
    Squares<double> of_blocks[CLUSTER];
    Norms norms;
    OwnStep step;
    Squares<REAL> of_threads[MAX_THREADS];
};
static_assert(
    sizeof(Exchange) == 16 * (CLUSTER + 2) + (4 + 2 * MAX_THREADS) * sizeof(REAL)
);

// The step that all blocks find for a batch, given the squares of each thread.
//
// This takes one exchange between the blocks that momentum does not need. The gradient is whole
// only after the last scores of its batch have been exchanged, and the next ones need the step;
// the squares of the step before would not do: it is the gradient's own that bound a step. Those
// of the average can wait for this exchange.
__device__ inline OwnStep agree_on_step(
    Exchange& exchange, unsigned rank, const Squares<REAL>& own, const OwnRule& rule, REAL factor,
    long long number
) {
    add_in_block(own, exchange.of_threads);
    if (threadIdx.x < CLUSTER) {  // a thread for each block that is told
        const Squares<double> sum = total(exchange.of_threads);
        Squares<double>* place = exchange.of_blocks + rank;
        store_in_block(&place->gradient, threadIdx.x, sum.gradient);
        store_in_block(&place->average, threadIdx.x, sum.average);
    }
    cluster_arrive();
    cluster_wait();  // the squares of all blocks are here
    if (threadIdx.x == 0) {
        Squares<double> sum = {};
        for (int block = 0; block < CLUSTER; block++) {
            sum.gradient += exchange.of_blocks[block].gradient;
            sum.average += exchange.of_blocks[block].average;
        }
        exchange.step = take_gradient(exchange.norms, sum, rule, factor, number);
    }
    block_barrier();  // the step is there
    return exchange.step;
}

// Rows of the tile that starts at a position in the epoch: a tile never crosses a batch.
__device__ inline int rows_of_tile(
    long long position, long long n_rows, int batch_size, int tile_rows
) {
    long long end = (position / batch_size + 1) * batch_size;
    end = end < n_rows ? end : n_rows;
    return end - position < tile_rows ? static_cast<int>(end - position) : tile_rows;
}

// Start to copy the slices of some rows into shared memory, `pitch` elements apart.
__device__ inline void load_rows(
    ROW* tile, int pitch, const ROW* X, long long n_features, int count,
    const long long* order, int n_rows
) {
    const int n_chunks = count / CHUNK_ELEMENTS;
    for (int i = threadIdx.x; i < n_rows * n_chunks; i += blockDim.x) {
        const int row = i / n_chunks, offset = i % n_chunks * CHUNK_ELEMENTS;
        const ROW* from = X + order[row] * n_features + offset;
        ROW* to = tile + row * pitch + offset;
        if constexpr (CHUNK >= 4) {
            copy_async<CHUNK>(to, from);
        } else {
            *to = *from;
        }
    }
}

// Add what the chunks begin to end of a row contribute to its scores.
__device__ inline void add_scores(
    PerClass& scores, const ROW* row, const PerClass* parameters, const REAL* means, int begin,
    int end
) {
    for (int i = begin; i < end; i++) {
        const Chunk chunk = reinterpret_cast<const Chunk*>(row)[i];
        const Means mean = reinterpret_cast<const Means*>(means)[i];
#pragma unroll
        for (int j = 0; j < CHUNK_ELEMENTS; j++) {
            const REAL x = REAL(chunk.of[j]) - mean.of[j];
            add_multiple(scores, x, parameters[i * CHUNK_ELEMENTS + j]);
        }
    }
}

extern "C" __global__ void __cluster_dims__(CLUSTER, 1, 1) __launch_bounds__(MAX_THREADS, 1)
cluster_epoch(
    const ROW* X, long long n_features, int block_features, int pitch,
    const long long* order, const int* labels, const REAL* weights, long long n_rows,
    int batch_size, int tile_rows, int score_segments, int gradient_segments,
    const REAL* steps, long long steps_done, REAL momentum, int average,
    const REAL* means, const REAL* inverse_scales, const REAL* gradient_scales,
    const REAL* decay, double curvature, double nearness, double least_weight, double* norms,
    REAL* parameters, REAL* velocities, REAL* averages, REAL* losses
) {
    const int thread = threadIdx.x, n_threads = blockDim.x;
    const int rank = static_cast<int>(cluster_rank());
    const long long slice = static_cast<long long>(rank) * block_features;
    const long long first = slice < n_features ? slice : n_features;
    const int count = static_cast<int>(
        n_features - first < block_features ? n_features - first : block_features
    );
    const int n_columns = count + 1, most_columns = block_features + 1;

    ROW* tiles = reinterpret_cast<ROW*>(shared_memory());
    // Tiles of bytes may end anywhere.
    const long long tile_bytes = 2LL * tile_rows * pitch * sizeof(ROW);
    unsigned char* behind = shared_memory() + (tile_bytes + 15) / 16 * 16;
    Exchange& exchange = *reinterpret_cast<Exchange*>(behind);
    PerClass* own = reinterpret_cast<PerClass*>(behind + (OWN_STEPS ? sizeof(Exchange) : 0));
    PerClass* velocity = own + most_columns;
    PerClass* averaged = velocity + most_columns;
    PerClass* gradients = averaged + most_columns;
    PerClass* residuals = gradients + gradient_segments * most_columns;
    REAL* mean = reinterpret_cast<REAL*>(residuals + tile_rows);
    Scales* scales = reinterpret_cast<Scales*>(mean + block_features);
    REAL* segments = reinterpret_cast<REAL*>(scales + most_columns);
    REAL* partial_scores = segments + score_segments * N_CLASSES * tile_rows;
    const PerClass* point = OWN_STEPS ? velocity : own;  // where gradients are taken

    // Element i is class i % N_CLASSES of column i / N_CLASSES; its thread alone updates it.
    for (int i = thread; i < n_columns * N_CLASSES; i += n_threads) {
        const int j = i / N_CLASSES, k = i % N_CLASSES;
        const long long place = k * (n_features + 1) + (j < count ? first + j : n_features);
        own[j].of[k] = parameters[place];
        velocity[j].of[k] = velocities[place];
        averaged[j].of[k] = averages[place];
    }
    for (int j = thread; j < n_columns; j += n_threads) {
        const long long place = j < count ? first + j : n_features;
        scales[j] = {inverse_scales[place], gradient_scales[place], decay[place]};
        if (j < count) mean[j] = means[place];
    }
    if (OWN_STEPS && thread == 0) exchange.norms = {norms[0], norms[1], norms[2]};
    REAL average_squares = 0;  // of this thread's elements, since the last step

    int n_next = rows_of_tile(0, n_rows, batch_size, tile_rows);
    load_rows(tiles, pitch, X + first, n_features, count, order, n_next);
    cluster_arrive();
    cluster_wait();  // every block has begun: its shared memory may be written to
    long long position = 0;
    for (int stage = 0; position < n_rows; stage ^= 1) {
        const int n_tile = n_next;
        const long long next = position + n_tile;
        const ROW* tile = tiles + stage * tile_rows * pitch;
        copy_async_wait();
        block_barrier();  // this tile is here, the parameters are new, the other tile is free
        // Of the row whose residuals this thread computes; read early, since it takes long.
        const bool has_row = thread < n_tile;
        const int label = has_row ? labels[position + thread] : 0;
        const REAL weight = has_row ? weights[position + thread] : REAL(0);

        // Scores: a thread takes a segment of the features of a row.
        const int row = thread % tile_rows, segment = thread / tile_rows;
        if (row < n_tile && segment < score_segments) {
            PerClass scores = {};
            const int n_chunks = count / CHUNK_ELEMENTS;
            add_scores(
                scores, tile + row * pitch, point, mean, segment * n_chunks / score_segments,
                (segment + 1) * n_chunks / score_segments
            );
#pragma unroll
            for (int k = 0; k < N_CLASSES; k++)
                segments[(segment * N_CLASSES + k) * tile_rows + row] = scores.of[k];
        }
        block_barrier();  // the segments of each row are there to be added up
        REAL* partial = partial_scores + stage * CLUSTER * N_CLASSES * tile_rows;
        for (int i = thread; i < N_CLASSES * tile_rows; i += n_threads) {
            if (i % tile_rows >= n_tile) continue;
            REAL sum = 0;
            for (int s = 0; s < score_segments; s++)
                sum += segments[s * N_CLASSES * tile_rows + i];
            for (int block = 0; block < CLUSTER; block++)
                store_in_block(partial + rank * N_CLASSES * tile_rows + i, block, sum);
        }
        cluster_arrive();
        if (next < n_rows) {  // the other blocks take their time: use it
            n_next = rows_of_tile(next, n_rows, batch_size, tile_rows);
            load_rows(
                tiles + (stage ^ 1) * tile_rows * pitch, pitch, X + first, n_features, count,
                order + next, n_next
            );
        }
        cluster_wait();  // the scores of all blocks are here

        if (has_row) {
            REAL* scores = residuals[thread].of;
#pragma unroll 4
            for (int k = 0; k < N_CLASSES; k++) {
                REAL score = point[count].of[k];
                for (int block = 0; block < CLUSTER; block++)
                    score += partial[(block * N_CLASSES + k) * tile_rows + thread];
                scores[k] = score;
            }
            const REAL loss = softmax_residual(scores, 1, label, weight, scores);
            if (rank == 0) losses[position + thread] = loss;
        }
        block_barrier();  // the residuals are there

        // Gradient: a thread takes a segment of the rows for some columns.
        const int n_lanes = n_threads / gradient_segments;
        const int part = thread / n_lanes;
        const bool is_new = position % batch_size == 0;
        for (int j = thread % n_lanes; j < n_columns; j += n_lanes) {
            if (part >= gradient_segments) break;
            PerClass* gradient = gradients + part * most_columns + j;
            PerClass sum = {};
            if (!is_new) sum = *gradient;
            const REAL shift = j < count ? mean[j] : REAL(0);
            for (int r = part; r < n_tile; r += gradient_segments) {
                const REAL x = j < count ? REAL(tile[r * pitch + j]) - shift : REAL(1);
                add_multiple(sum, x, residuals[r]);
            }
            *gradient = sum;
        }

        if (next % batch_size == 0 || next == n_rows) {
            block_barrier();  // the gradient of the batch is complete
            const long long batch = position / batch_size;
            const long long number = steps_done + batch;
            const Step step =
                OWN_STEPS ? Step{} : make_step(steps[batch], momentum, average, number);
            Squares<REAL> squares = {REAL(0), average_squares};
            for (int i = thread; i < n_columns * N_CLASSES; i += n_threads) {
                const int j = i / N_CLASSES, k = i % N_CLASSES;
                REAL gradient = 0;
                for (int s = 0; s < gradient_segments; s++)
                    gradient += gradients[s * most_columns + j].of[k];
                if constexpr (OWN_STEPS) {
                    gradient = mean_gradient(scales[j], gradient, point[j].of[k]);
                    // The intercepts are the same in all blocks: one counts them.
                    if (j < count || rank == 0) squares.gradient += gradient * gradient;
                    gradients[j].of[k] = gradient;  // for this thread
                } else {
                    update(
                        step, scales[j], gradient, own[j].of[k], velocity[j].of[k],
                        averaged[j].of[k]
                    );
                }
            }
            if constexpr (OWN_STEPS) {
                const OwnStep own_step = agree_on_step(
                    exchange, rank, squares, {curvature, nearness, least_weight}, steps[batch],
                    number + 1
                );
                average_squares = 0;
                for (int i = thread; i < n_columns * N_CLASSES; i += n_threads) {
                    const int j = i / N_CLASSES, k = i % N_CLASSES;
                    const REAL square = update_on_own(
                        own_step, scales[j].inverse, gradients[j].of[k], own[j].of[k],
                        velocity[j].of[k], averaged[j].of[k]
                    );
                    if (j < count || rank == 0) average_squares += square;
                }
            }
        }
        position = next;
    }

    if (OWN_STEPS && rank == 0 && thread == 0) {  // but for the last average, left to others
        norms[0] = exchange.norms.distance;
        norms[1] = exchange.norms.squares;
        norms[2] = exchange.norms.weight;
    }
    for (int i = thread; i < n_columns * N_CLASSES; i += n_threads) {
        const int j = i / N_CLASSES, k = i % N_CLASSES;
        if (j == count && rank > 0) break;  // the intercepts are the same in all blocks
        const long long place = k * (n_features + 1) + (j < count ? first + j : n_features);
        parameters[place] = own[j].of[k];
        velocities[place] = velocity[j].of[k];
        averages[place] = averaged[j].of[k];
    }
}
