// A step in two launches, which a CUDA graph strings together: for devices without clusters,
// and for models that do not fit a cluster's shared memory.
//
// The first gives a few rows of the batch to each block and leaves their residuals in global
// memory; the second gives a few features to each block, which sums their gradient over the
// batch and updates them. For the rule that finds its own steps there are three: the squares of
// all blocks have to be there before any block updates. All find their batch by a number that
// the graph fixes, counted from one that each replay sets, and do nothing beyond the end of the
// epoch.
//
// Defined by whoever compiles, besides what the headers ask for: FEATURE_TILE, the features
// that are read at once and that a block sums the gradient of.
#include "primitives.cuh"
#include "softmax.cuh"
#include "norms.cuh"

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

// The column whose gradient a thread sums, and which segment of the rows it takes of it.
struct Column {
    int lane, segment, n_segments;
    long long number;

    __device__ Column() {
        lane = threadIdx.x % FEATURE_TILE;
        segment = threadIdx.x / FEATURE_TILE;
        n_segments = blockDim.x / FEATURE_TILE;
        number = static_cast<long long>(blockIdx.x) * FEATURE_TILE + lane;
    }

    // What all segments have summed for a class.
    __device__ REAL sum(const REAL* segments, int k) const {
        REAL sum = 0;
        for (int s = 0; s < n_segments; s++)
            sum += segments[(s * N_CLASSES + k) * FEATURE_TILE + lane];
        return sum;
    }
};

// Sum the gradient of a block's columns over a batch, and leave it in `segments`.
__device__ inline void sum_gradient(
    const ROW* X, long long n_features, const long long* order, const Batch& batch,
    int tile_rows, const REAL* means, const REAL* residuals, PerClass* tile, REAL* segments
) {
    const int thread = threadIdx.x, n_threads = blockDim.x;
    const Column place;
    const long long column = place.number;
    PerClass gradient = {};
    const REAL mean = column < n_features ? means[column] : REAL(0);
    for (int first = 0; first < batch.n_rows; first += tile_rows) {
        const int left = batch.n_rows - first, n_rows = left < tile_rows ? left : tile_rows;
        for (int i = thread; i < n_rows * N_CLASSES; i += n_threads)
            tile[i / N_CLASSES].of[i % N_CLASSES] = residuals[first * N_CLASSES + i];
        block_barrier();  // the residuals are here
        if (column <= n_features) {
            const long long* rows = order + batch.start + first;
            for (int r = place.segment; r < n_rows; r += place.n_segments) {
                const REAL x = column < n_features
                    ? REAL(X[rows[r] * n_features + column]) - mean : REAL(1);
                add_multiple(gradient, x, tile[r]);
            }
        }
        block_barrier();  // the residuals may be replaced
    }
#pragma unroll
    for (int k = 0; k < N_CLASSES; k++)
        segments[(place.segment * N_CLASSES + k) * FEATURE_TILE + place.lane] = gradient.of[k];
    block_barrier();  // the gradient of the batch is complete
}

extern "C" __global__ void __launch_bounds__(MAX_THREADS, 1) graph_update(
    const ROW* X, long long n_features, const long long* order, const long long* epoch,
    int batch_number, int batch_size, int tile_rows, const REAL* means, const REAL* residuals,
    const REAL* inverse_scales, const REAL* gradient_scales, const REAL* decay,
    const REAL* steps, REAL momentum, int average, REAL* parameters, REAL* velocities,
    REAL* averages
) {
    const Batch batch(epoch, batch_number, batch_size);
    if (batch.n_rows == 0) return;  // the whole block
    PerClass* tile = reinterpret_cast<PerClass*>(shared_memory());
    REAL* segments = reinterpret_cast<REAL*>(tile + tile_rows);
    sum_gradient(
        X, n_features, order, batch, tile_rows, means, residuals, tile, segments
    );

    const Column column;
    const long long j = column.number;
    if (j > n_features) return;
    const Step step =
        make_step(steps[batch.number], momentum, average, epoch[2] + batch.number);
    const Scales scales = {inverse_scales[j], gradient_scales[j], decay[j]};
    for (int k = column.segment; k < N_CLASSES; k += column.n_segments) {
        const long long i = k * (n_features + 1) + j;
        const REAL sum = column.sum(segments, k);
        update(step, scales, sum, parameters[i], velocities[i], averages[i]);
    }
}

// The second of three: gradients in standardised coordinates, and their squares in each block.
//
// No block of this launch reads the norms, so that the first one may put the new ones, and the
// average of the step before, in the place of the old.
extern "C" __global__ void __launch_bounds__(MAX_THREADS, 1) graph_gradient(
    const ROW* X, long long n_features, const long long* order, const long long* epoch,
    int batch_number, int batch_size, int tile_rows, const REAL* means, const REAL* residuals,
    const REAL* inverse_scales, const REAL* gradient_scales, const REAL* decay,
    const REAL* points, REAL* gradients, double* gradient_squares,
    const double* average_squares, int n_average_squares, Norms* norms
) {
    const Batch batch(epoch, batch_number, batch_size);
    if (batch.n_rows == 0) return;  // the whole block
    PerClass* tile = reinterpret_cast<PerClass*>(shared_memory());
    REAL* segments = reinterpret_cast<REAL*>(tile + tile_rows);
    sum_gradient(
        X, n_features, order, batch, tile_rows, means, residuals, tile, segments
    );

    const Column column;
    const long long j = column.number;
    Squares<REAL> squares = {};
    for (int k = column.segment; j <= n_features && k < N_CLASSES; k += column.n_segments) {
        const Scales scales = {inverse_scales[j], gradient_scales[j], decay[j]};
        const long long i = k * (n_features + 1) + j;
        const REAL gradient = mean_gradient(scales, column.sum(segments, k), points[i]);
        gradients[i] = gradient;
        squares.gradient += gradient * gradient;
    }
    if (blockIdx.x == 0) {
        for (int i = threadIdx.x; i < n_average_squares; i += blockDim.x)
            squares.average += average_squares[i];
    }
    block_barrier();  // the segments have been read; squares take their place
    Squares<REAL>* of_threads = reinterpret_cast<Squares<REAL>*>(segments);
    add_in_block(squares, of_threads);
    if (threadIdx.x > 0) return;
    const Squares<double> sum = total(of_threads);
    gradient_squares[blockIdx.x] = sum.gradient;
    if (blockIdx.x == 0) {
        norms[0] = norms[1];
        norms[0].distance = fmax(norms[0].distance, sqrt(sum.average));
    }
}

// The third: the step, which every block finds for itself, and the update of an element a thread.
extern "C" __global__ void __launch_bounds__(MAX_THREADS, 1) graph_own_update(
    long long n_features, const long long* epoch, int batch_number, int batch_size,
    const REAL* steps, double curvature, double nearness, double least_weight,
    const double* gradient_squares, int n_gradient_squares, Norms* norms,
    const REAL* inverse_scales, const REAL* gradients, REAL* parameters, REAL* points,
    REAL* averages, double* average_squares
) {
    const Batch batch(epoch, batch_number, batch_size);
    if (batch.n_rows == 0) return;  // the whole block
    const int thread = threadIdx.x;
    OwnStep& shared_step = *reinterpret_cast<OwnStep*>(shared_memory());
    Squares<REAL>* of_threads = reinterpret_cast<Squares<REAL>*>(&shared_step + 1);

    Squares<REAL> squares = {};
    for (int i = thread; i < n_gradient_squares; i += blockDim.x)
        squares.gradient += gradient_squares[i];
    add_in_block(squares, of_threads);
    if (thread == 0) {
        Norms next = norms[0];
        shared_step = take_gradient(
            next, total(of_threads), {curvature, nearness, least_weight}, steps[batch.number],
            epoch[2] + batch.number + 1
        );
        if (blockIdx.x == 0) norms[1] = next;
    }
    block_barrier();  // the step is there

    const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + thread;
    squares = {};
    if (i < (n_features + 1) * N_CLASSES) {
        squares.average = update_on_own(
            shared_step, inverse_scales[i % (n_features + 1)], gradients[i], parameters[i],
            points[i], averages[i]
        );
    }
    add_in_block(squares, of_threads);
    if (thread == 0) average_squares[blockIdx.x] = total(of_threads).average;
}
