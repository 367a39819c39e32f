// The arithmetic of a step, shared by all kernels: what ArrayTrainer does, in the same order.
//
// Defined by whoever compiles: ROW, the type of an element of X; REAL, the type of the
// arithmetic; N_CLASSES.

// A number for each class, so aligned that a thread reads four floats, or two doubles, at once.
// In the loops over features or rows those over classes are unrolled: it then is registers.
struct alignas(16) PerClass {
    REAL of[(N_CLASSES * sizeof(REAL) + 15) / 16 * 16 / sizeof(REAL)];
};

// Add a multiple.
__device__ inline void add_multiple(PerClass& sum, REAL factor, const PerClass& values) {
#pragma unroll
    for (int k = 0; k < N_CLASSES; k++) sum.of[k] += factor * values.of[k];
}

// Turn the scores of a row, `pitch` apart in memory that this thread alone uses, into its weighted
// residuals, probability minus target, and return its weighted loss. Scores are used up; the
// residuals may take their place. Held in registers, 32 of them in float64 would be too many.
__device__ inline REAL softmax_residual(
    REAL* scores, int pitch, int label, REAL weight, REAL* residual
) {
    REAL largest = scores[0], total = 0;
#pragma unroll 4
    for (int k = 1; k < N_CLASSES; k++)
        largest = scores[k * pitch] > largest ? scores[k * pitch] : largest;
    const REAL of_target = scores[label * pitch] - largest;
#pragma unroll 4
    for (int k = 0; k < N_CLASSES; k++) {
        scores[k * pitch] = exp(scores[k * pitch] - largest);
        total += scores[k * pitch];
    }
#pragma unroll 4
    for (int k = 0; k < N_CLASSES; k++)
        residual[k] = weight * (scores[k * pitch] / total - REAL(k == label));
    return weight * (log(total) - of_target);
}

// What the update rule knows of a feature.
struct Scales {
    REAL inverse;   // 1 / s
    REAL gradient;  // 1 / (s batch_size)
    REAL decay;     // the squared penalty in the coordinates of the step
};

// What it knows of a step.
struct Step {
    REAL size;
    REAL momentum;
    REAL newest;  // the weight of this iterate in the average; 0 without averaging
};

// The step of number `done` + 1, counted from the first of all.
__device__ inline Step make_step(REAL size, REAL momentum, int average, long long done) {
    return {size, momentum, average ? REAL(9.0 / (static_cast<double>(done) + 9.0)) : REAL(0)};
}

// The mean gradient for one parameter in standardised coordinates, given the sum over a batch.
__device__ inline REAL mean_gradient(const Scales& scales, REAL sum, REAL parameter) {
    return sum * scales.gradient + scales.decay * parameter;
}

// Heavy-ball momentum and averaging for one parameter, given its gradient summed over a batch.
__device__ inline void update(
    const Step& step, const Scales& scales, REAL gradient,
    REAL& parameter, REAL& velocity, REAL& average
) {
    REAL change = mean_gradient(scales, gradient, parameter);
    change *= step.size * scales.inverse;
    velocity = step.momentum * velocity - change;
    parameter += velocity;
    average += step.newest * (parameter - average);
}
