// Softmax, residuals and losses of a batch in one launch, between two products by cuBLAS.
//
// A block takes ROW_TILE rows, and its threads share the classes of each. Scores lie with the
// rows of a class side by side, as the product leaves them; so do targets, 1 for the class of
// the row and 0 for the others.
//
// Defined by whoever compiles: REAL, the type of the arithmetic; ROW_TILE, the rows of a block.
#include "primitives.cuh"

extern "C" __global__ void __launch_bounds__(MAX_THREADS, 1) softmax_residuals(
    int n_classes, int n_rows, const unsigned char* targets, REAL* scores, REAL* losses
) {
    const int lane = threadIdx.x % ROW_TILE, segment = threadIdx.x / ROW_TILE;
    const int n_segments = blockDim.x / ROW_TILE, row = blockIdx.x * ROW_TILE + lane;
    const bool is_row = row < n_rows;
    REAL* parts = reinterpret_cast<REAL*>(shared_memory());
    REAL* sums = parts + n_segments * ROW_TILE;
    REAL* of_target = sums + n_segments * ROW_TILE;

    REAL largest = is_row ? scores[row] : REAL(0);
    for (int k = segment; is_row && k < n_classes; k += n_segments) {
        const REAL score = scores[static_cast<size_t>(k) * n_rows + row];
        largest = score > largest ? score : largest;
    }
    parts[segment * ROW_TILE + lane] = largest;
    block_barrier();  // the largest score of each segment is there
    for (int s = 0; s < n_segments; s++) {
        const REAL other = parts[s * ROW_TILE + lane];
        largest = other > largest ? other : largest;
    }

    REAL total = 0;
    for (int k = segment; is_row && k < n_classes; k += n_segments) {
        const size_t place = static_cast<size_t>(k) * n_rows + row;
        const REAL score = scores[place] - largest, power = exp(score);
        if (targets[place]) of_target[lane] = score;
        scores[place] = power;
        total += power;
    }
    sums[segment * ROW_TILE + lane] = total;
    block_barrier();  // the sum of each segment is there, and the score of the target
    total = 0;
    for (int s = 0; s < n_segments; s++) total += sums[s * ROW_TILE + lane];

    for (int k = segment; is_row && k < n_classes; k += n_segments) {
        const size_t place = static_cast<size_t>(k) * n_rows + row;
        scores[place] = scores[place] / total - REAL(targets[place]);
    }
    if (is_row && segment == 0) losses[row] = log(total) - of_target[lane];
}
