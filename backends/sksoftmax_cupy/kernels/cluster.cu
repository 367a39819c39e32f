// An epoch in one launch: a cluster of blocks, each of which owns a slice of the features.
//
// A block keeps the parameters, velocities and averages of its features in shared memory for
// the whole epoch and reads nothing but its slice of each row, a tile of rows at a time, the
// next one while it works on this one. It tells all blocks what its features add to the scores
// of the tile; each then computes the same residuals, hence the gradient of its own features:
// no gradient ever leaves a block. The intercepts are one more column of ones, which every
// block keeps for itself.
//
// Defined by whoever compiles, besides what softmax.cuh asks for: CLUSTER, the number of
// blocks; CHUNK, the bytes that are copied at once, to which the slices of rows are aligned.
// cluster_shared_bytes in plan.py is the sum of the arrays laid out below.
#include "primitives.cuh"
#include "softmax.cuh"

constexpr int CHUNK_ELEMENTS = CHUNK / sizeof(ROW);

struct alignas(CHUNK) Chunk {
    ROW values[CHUNK_ELEMENTS];
};

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

// Add what features begin to end of a row contribute to its scores.
__device__ inline void add_scores(
    REAL (&scores)[N_CLASSES], const ROW* row, const REAL* parameters, const REAL* means,
    int begin, int end
) {
    for (int j = begin; j < end; j += CHUNK_ELEMENTS) {
        const Chunk chunk = *reinterpret_cast<const Chunk*>(row + j);
#pragma unroll
        for (int i = 0; i < CHUNK_ELEMENTS; i++) {
            const REAL x = REAL(chunk.values[i]) - means[j + i];
#pragma unroll
            for (int k = 0; k < N_CLASSES; k++)
                scores[k] += x * parameters[(j + i) * N_CLASSES + k];
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
    const REAL* decay, REAL* parameters, REAL* velocities, REAL* averages, REAL* losses
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
    REAL* own = reinterpret_cast<REAL*>(shared_memory() + (tile_bytes + 15) / 16 * 16);
    REAL* velocity = own + most_columns * N_CLASSES;
    REAL* averaged = velocity + most_columns * N_CLASSES;
    REAL* gradients = averaged + most_columns * N_CLASSES;
    REAL* mean = gradients + gradient_segments * most_columns * N_CLASSES;
    REAL* segments = mean + most_columns;
    REAL* partial_scores = segments + score_segments * N_CLASSES * tile_rows;
    REAL* residuals = partial_scores + 2 * CLUSTER * N_CLASSES * tile_rows;

    // Element i is class i % N_CLASSES of column i / N_CLASSES; its thread alone updates it.
    for (int i = thread; i < n_columns * N_CLASSES; i += n_threads) {
        const int column = i / N_CLASSES, k = i % N_CLASSES;
        const long long place =
            k * (n_features + 1) + (column < count ? first + column : n_features);
        own[i] = parameters[place];
        velocity[i] = velocities[place];
        averaged[i] = averages[place];
    }
    for (int j = thread; j < count; j += n_threads) mean[j] = means[first + j];

    int n_next = rows_of_tile(0, n_rows, batch_size, tile_rows);
    load_rows(tiles, pitch, X + first, n_features, count, order, n_next);
    cluster_barrier();  // every block has begun: its shared memory may be written to
    long long position = 0;
    for (int stage = 0; position < n_rows; stage ^= 1) {
        const int n_tile = n_next;
        const long long next = position + n_tile;
        const ROW* tile = tiles + stage * tile_rows * pitch;
        copy_async_wait();
        block_barrier();  // this tile is here, the parameters are new, the other tile is free
        if (next < n_rows) {
            n_next = rows_of_tile(next, n_rows, batch_size, tile_rows);
            load_rows(
                tiles + (stage ^ 1) * tile_rows * pitch, pitch, X + first, n_features, count,
                order + next, n_next
            );
        }

        // Scores: a thread takes a segment of the features of a row.
        const int row = thread % tile_rows, segment = thread / tile_rows;
        if (row < n_tile && segment < score_segments) {
            REAL scores[N_CLASSES] = {};
            const int n_chunks = count / CHUNK_ELEMENTS;
            add_scores(
                scores, tile + row * pitch, own, mean,
                segment * n_chunks / score_segments * CHUNK_ELEMENTS,
                (segment + 1) * n_chunks / score_segments * CHUNK_ELEMENTS
            );
#pragma unroll
            for (int k = 0; k < N_CLASSES; k++)
                segments[(segment * N_CLASSES + k) * tile_rows + row] = scores[k];
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
        cluster_barrier();  // the scores of all blocks are here

        for (int r = thread; r < n_tile; r += n_threads) {
            REAL* scores = residuals + r * N_CLASSES;
#pragma unroll 4
            for (int k = 0; k < N_CLASSES; k++) {
                REAL score = own[count * N_CLASSES + k];
                for (int block = 0; block < CLUSTER; block++)
                    score += partial[(block * N_CLASSES + k) * tile_rows + r];
                scores[k] = score;
            }
            const REAL loss = softmax_residual(
                scores, 1, labels[position + r], weights[position + r], scores
            );
            if (rank == 0) losses[position + r] = loss;
        }
        block_barrier();  // the residuals are there

        // Gradient: a thread takes a segment of the rows for some columns.
        const int n_lanes = n_threads / gradient_segments;
        const int part = thread / n_lanes;
        const bool is_new = position % batch_size == 0;
        for (int j = thread % n_lanes; j < n_columns; j += n_lanes) {
            if (part >= gradient_segments) break;
            REAL sums[N_CLASSES] = {};
            for (int r = part; r < n_tile; r += gradient_segments) {
                const REAL x = j < count ? REAL(tile[r * pitch + j]) - mean[j] : REAL(1);
#pragma unroll
                for (int k = 0; k < N_CLASSES; k++) sums[k] += x * residuals[r * N_CLASSES + k];
            }
            REAL* gradient = gradients + (part * most_columns + j) * N_CLASSES;
#pragma unroll
            for (int k = 0; k < N_CLASSES; k++)
                gradient[k] = is_new ? sums[k] : gradient[k] + sums[k];
        }

        if (next % batch_size == 0 || next == n_rows) {
            block_barrier();  // the gradient of the batch is complete
            const long long batch = position / batch_size;
            const Step step = make_step(steps[batch], momentum, average, steps_done + batch);
            for (int i = thread; i < n_columns * N_CLASSES; i += n_threads) {
                REAL gradient = 0;
                for (int s = 0; s < gradient_segments; s++)
                    gradient += gradients[s * most_columns * N_CLASSES + i];
                const int column = i / N_CLASSES;
                const long long place = column < count ? first + column : n_features;
                const Scales scales = {
                    inverse_scales[place], gradient_scales[place], decay[place]
                };
                update(step, scales, gradient, own[i], velocity[i], averaged[i]);
            }
        }
        position = next;
    }

    for (int i = thread; i < n_columns * N_CLASSES; i += n_threads) {
        const int column = i / N_CLASSES, k = i % N_CLASSES;
        if (column == count && rank > 0) break;  // the intercepts are the same in all blocks
        const long long place =
            k * (n_features + 1) + (column < count ? first + column : n_features);
        parameters[place] = own[i];
        velocities[place] = velocity[i];
        averages[place] = averaged[i];
    }
}
