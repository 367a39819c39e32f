// The rule that finds its own steps: what DistanceOverGradients does, in the same order.
//
// Squares are added up in REAL within a block, always in the same order, and in double beyond
// it; the norms are double.

// Sums of squares in standardised coordinates: of gradients, and of averaged parameters.
template <class Number>
struct alignas(2 * sizeof(Number)) Squares {
    Number gradient, average;
};

// What the problem says of the rule.
struct OwnRule {
    double curvature, nearness, least_weight;
};

// What is remembered from step to step.
struct Norms {
    double distance, squares, weight;
};

// What the rule makes of it: the step, the weight of the newest iterate in the average, and
// those of both in the point where the next gradient is taken.
struct alignas(16) OwnStep {
    REAL size, newest, of_parameter, of_average;
};

// Threads among which a block's squares are added up: a warp.
constexpr int N_LANES = 32;

// Add up the squares of a block's threads; each can then ask for the total. `of_threads` has one
// element a thread, and is in use until the block's next barrier.
__device__ inline void add_in_block(const Squares<REAL>& own, Squares<REAL>* of_threads) {
    const int thread = threadIdx.x;
    of_threads[thread] = own;
    block_barrier();  // the squares of all threads are there
    if (thread < N_LANES) {
        Squares<REAL> sum = own;
        for (int i = thread + N_LANES; i < blockDim.x; i += N_LANES) {
            sum.gradient += of_threads[i].gradient;
            sum.average += of_threads[i].average;
        }
        of_threads[thread] = sum;
    }
    block_barrier();  // the sums of all lanes are there
}

// The squares of a block, which have been added up.
__device__ inline Squares<double> total(const Squares<REAL>* of_lanes) {
    Squares<double> sum = {};
#pragma unroll 4
    for (int i = 0; i < N_LANES; i++) {  // unrolled as a whole it would hold all in registers
        sum.gradient += of_lanes[i].gradient;
        sum.average += of_lanes[i].average;
    }
    return sum;
}

// Take the average so far, and a gradient, into the norms; return the step of that number.
__device__ inline OwnStep take_gradient(
    Norms& norms, const Squares<double>& squares, const OwnRule& rule, REAL factor,
    long long number
) {
    constexpr double TINY = 2.2250738585072014e-308;
    const bool is_first = norms.squares == 0;
    norms.distance = fmax(norms.distance, sqrt(squares.average));
    if (is_first) norms.distance = fmax(norms.distance, sqrt(squares.gradient) / rule.curvature);
    const double area = norms.distance * norms.distance, first = area * rule.curvature;
    norms.squares = is_first ? first * first : norms.squares + area * squares.gradient;
    norms.weight += area * number;
    const double size = area / sqrt(fmax(norms.squares, TINY));
    const double newest = fmax(area * number / fmax(norms.weight, TINY), rule.least_weight);
    return {
        REAL(size * factor), REAL(newest), REAL(1 - rule.nearness), REAL(rule.nearness)
    };
}

// Take a step for one parameter, given its gradient in standardised coordinates; return its
// average in these coordinates, squared.
__device__ inline REAL update_on_own(
    const OwnStep& step, REAL inverse_scale, REAL gradient,
    REAL& parameter, REAL& point, REAL& average
) {
    parameter -= gradient * (step.size * inverse_scale);
    average += step.newest * (parameter - average);
    point = step.of_parameter * parameter + step.of_average * average;
    // The weights of a constant feature stay what they are, and are no distance.
    const REAL scaled = inverse_scale > 0 ? average / inverse_scale : REAL(0);
    return scaled * scaled;
}
