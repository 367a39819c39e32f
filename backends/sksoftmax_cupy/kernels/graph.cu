// A step in two launches, which a CUDA graph strings together: for devices without clusters,
// and for models that do not fit a cluster's shared memory.
//
// The first gives a few rows of the batch to each block and leaves their residuals in global
// memory; the second gives a few features to each block, which sums their gradient over the
// batch and updates them. Both find their batch by a number that the graph fixes, counted from
// one that each replay sets, and do nothing beyond the end of the epoch.
//
// Defined by whoever compiles, besides what softmax.cuh asks for: FEATURE_TILE, the features
// that are read at once and that a block of the second kernel updates.
#include "primitives.cuh"
#include "softmax.cuh"

// The rows of a batch, as positions in the epoch; none beyond its end.
struct Batch {
    long long start;
    int n_rows;
    long long number;

    __device__ Batch(const long long* epoch, int batch, int batch_size) {
        number = epoch[0] + batch;
        start = number * batch_size;
        const long long left = epoch[1] - start;
        n_rows = left <= 0 ? 0 : left < batch_size ? static_cast<int>(left) : batch_size;
    }
};

extern "C" __global__ void __launch_bounds__(MAX_THREADS, 1) graph_residuals(
    const ROW* X, long long n_features, const long long* order, const int* labels,
    const REAL* weights, const long long* epoch, int batch_number, int batch_size,
    int tile_rows, const REAL* means, const REAL* parameters, REAL* residuals, REAL* losses
) {
    const Batch batch(epoch, batch_number, batch_size);
    const int first_row = blockIdx.x * tile_rows;
    if (first_row >= batch.n_rows) return;  // the whole block
    const int left = batch.n_rows - first_row, n_rows = left < tile_rows ? left : tile_rows;
    const long long start = batch.start + first_row;
    const int thread = threadIdx.x, n_threads = blockDim.x;
    const int row = thread % tile_rows, segment = thread / tile_rows;
    const int n_segments = n_threads / tile_rows;
    // One more than a power of two apart, rows begin in different banks.
    constexpr int PITCH = FEATURE_TILE + 1;

    PerClass* coefficients = reinterpret_cast<PerClass*>(shared_memory());
    REAL* rows = reinterpret_cast<REAL*>(coefficients + FEATURE_TILE);
    REAL* segments = rows + tile_rows * PITCH;

    PerClass scores = {};
    for (long long first = 0; first < n_features; first += FEATURE_TILE) {
        for (int i = thread; i < n_rows * FEATURE_TILE; i += n_threads) {
            const int r = i / FEATURE_TILE, j = i % FEATURE_TILE;
            if (first + j < n_features) {
                const ROW x = X[order[start + r] * n_features + first + j];
                rows[r * PITCH + j] = REAL(x) - means[first + j];
            }
        }
        for (int i = thread; i < FEATURE_TILE * N_CLASSES; i += n_threads) {
            const int k = i / FEATURE_TILE, j = i % FEATURE_TILE;
            if (first + j < n_features)
                coefficients[j].of[k] = parameters[k * (n_features + 1) + first + j];
        }
        block_barrier();  // the tiles are here
        const int width =
            n_features - first < FEATURE_TILE ? int(n_features - first) : FEATURE_TILE;
        if (row < n_rows && segment < n_segments) {
            for (int j = segment; j < width; j += n_segments)
                add_multiple(scores, rows[row * PITCH + j], coefficients[j]);
        }
        block_barrier();  // the tiles are free
    }
    if (row < n_rows && segment < n_segments) {
#pragma unroll
        for (int k = 0; k < N_CLASSES; k++)
            segments[(segment * N_CLASSES + k) * tile_rows + row] = scores.of[k];
    }
    block_barrier();  // the segments of each row are there to be added up

    for (int i = thread; i < N_CLASSES * tile_rows; i += n_threads) {
        if (i % tile_rows >= n_rows) continue;
        REAL score = parameters[i / tile_rows * (n_features + 1) + n_features];
        for (int s = 0; s < n_segments; s++) score += segments[s * N_CLASSES * tile_rows + i];
        segments[i] = score;
    }
    block_barrier();  // the scores are there
    for (int r = thread; r < n_rows; r += n_threads) {
        losses[start + r] = softmax_residual(
            segments + r, tile_rows, labels[start + r], weights[start + r],
            residuals + (first_row + r) * N_CLASSES
        );
    }
}

extern "C" __global__ void __launch_bounds__(MAX_THREADS, 1) graph_update(
    const ROW* X, long long n_features, const long long* order, const long long* epoch,
    int batch_number, int batch_size, int tile_rows, const REAL* steps, REAL momentum,
    int average, const REAL* means, const REAL* inverse_scales, const REAL* gradient_scales,
    const REAL* decay, const REAL* residuals, REAL* parameters, REAL* velocities,
    REAL* averages
) {
    const Batch batch(epoch, batch_number, batch_size);
    if (batch.n_rows == 0) return;  // the whole block
    const int thread = threadIdx.x, n_threads = blockDim.x;
    const int lane = thread % FEATURE_TILE, segment = thread / FEATURE_TILE;
    const int n_segments = n_threads / FEATURE_TILE;
    const long long column = static_cast<long long>(blockIdx.x) * FEATURE_TILE + lane;

    PerClass* tile = reinterpret_cast<PerClass*>(shared_memory());
    REAL* segments = reinterpret_cast<REAL*>(tile + tile_rows);

    PerClass gradient = {};
    const REAL mean = column < n_features ? means[column] : REAL(0);
    for (int first = 0; first < batch.n_rows; first += tile_rows) {
        const int left = batch.n_rows - first, n_rows = left < tile_rows ? left : tile_rows;
        for (int i = thread; i < n_rows * N_CLASSES; i += n_threads)
            tile[i / N_CLASSES].of[i % N_CLASSES] = residuals[first * N_CLASSES + i];
        block_barrier();  // the residuals are here
        if (column <= n_features) {
            const long long* rows = order + batch.start + first;
            for (int r = segment; r < n_rows; r += n_segments) {
                const REAL x = column < n_features
                    ? REAL(X[rows[r] * n_features + column]) - mean : REAL(1);
                add_multiple(gradient, x, tile[r]);
            }
        }
        block_barrier();  // the residuals may be replaced
    }
#pragma unroll
    for (int k = 0; k < N_CLASSES; k++)
        segments[(segment * N_CLASSES + k) * FEATURE_TILE + lane] = gradient.of[k];
    block_barrier();  // the gradient of the batch is complete

    if (column > n_features) return;
    const Step step =
        make_step(steps[batch.number], momentum, average, epoch[2] + batch.number);
    const Scales scales = {inverse_scales[column], gradient_scales[column], decay[column]};
    for (int k = segment; k < N_CLASSES; k += n_segments) {
        REAL sum = 0;
        for (int s = 0; s < n_segments; s++)
            sum += segments[(s * N_CLASSES + k) * FEATURE_TILE + lane];
        const long long place = k * (n_features + 1) + column;
        update(step, scales, sum, parameters[place], velocities[place], averages[place]);
    }
}
