/* Operations between a Llama's products, each in one pass over its numbers: handwritten/torch_ops.py of the language
   learner has the same in torch, and sampling.py has `draw`.

   C with vectors of a fixed size, as GCC and Clang know them. Matrices lie row by row, numbers are fp32, indices int64.
   Nothing is kept between calls. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
#define ROWS 6 /* rows of a product that are made at once: with two vectors each they fill the registers */

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef uint32_t uvec __attribute__((vector_size(4 * LANES)));
typedef int64_t size;

static inline vec load(const float *from) {
  vec found;
  memcpy(&found, from, sizeof found);
  return found;
}

static inline void store(float *into, vec numbers) { memcpy(into, &numbers, sizeof numbers); }

static inline vec all(float number) { return number - (vec){0}; }

static inline vec chosen(ivec where, vec yes, vec no) { return (vec)(((ivec)yes & where) | ((ivec)no & ~where)); }

static inline vec larger(vec one, vec other) { return chosen(one > other, one, other); }

static inline float sum(vec numbers) {
  float found = 0;
  for (int lane = 0; lane < LANES; lane++) found += numbers[lane];
  return found;
}

static inline float largest(vec numbers) {
  float found[LANES];
  store(found, numbers);
  for (int half = LANES / 2; half; half /= 2)
    for (int lane = 0; lane < half; lane++)
      found[lane] = found[lane] > found[lane + half] ? found[lane] : found[lane + half];
  return found[0];
}

static inline size up(size number, size unit) { return (number + unit - 1) / unit * unit; }

/* exp and log after Cephes (Moshier, 1989), to about one unit in the last place. */
static inline vec exponential(vec x) {
  const ivec tiny = x < -87.33654f;
  x = chosen(tiny, all(-87.33654f), x);
  x = chosen(x > 88.0f, all(88.0f), x);
  const vec shift = all(12582912.0f); /* 1.5 * 2^23: adding it rounds to a whole number */
  vec n = x * 1.44269504088896341f + shift;
  n -= shift;
  const vec r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  vec p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const vec power = (vec)((__builtin_convertvector(n, ivec) + 127) << 23);
  return (vec)((ivec)(p * power) & ~tiny);
}

static inline vec logarithm(vec x) {
  ivec bits = (ivec)x;
  ivec exponent = ((bits >> 23) & 255) - 126;
  vec m = (vec)((bits & 0x007fffff) | 0x3f000000); /* in [1/2, 1) */
  const ivec low = m < 0.707106781186547524f;
  exponent += low; /* a true comparison is -1 */
  m = m - 1.0f + (vec)((ivec)m & low);
  const vec e = __builtin_convertvector(exponent, vec), z = m * m;
  vec p = all(7.0376836292e-2f);
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  p = p * m * z + e * -2.12194440e-4f - z * 0.5f;
  return m + p + e * 0.693359375f;
}

/* bf16 is the upper half of fp32; what does not fit is rounded to the nearest, to even in a tie. */
typedef uint16_t half;
typedef uint16_t halves __attribute__((vector_size(2 * LANES)));

static inline vec load_half(const half *from) {
  halves found;
  memcpy(&found, from, sizeof found);
  return (vec)(__builtin_convertvector(found, uvec) << 16);
}

static inline void store_half(half *into, vec numbers) {
  const uvec bits = (uvec)numbers;
  const halves found = __builtin_convertvector((bits + 0x7fff + ((bits >> 16) & 1)) >> 16, halves);
  memcpy(into, &found, sizeof found);
}

static inline vec sigmoid(vec x) { return 1.0f / (1.0f + exponential(-x)); }

/* Overwrites gates and ups with the gradients of gates sigmoid(gates) ups, times an incoming gradient. */
static inline void gate_gradients(vec *gates, vec *ups, vec gradient) {
  const vec share = sigmoid(*gates), silu = *gates * share;
  *gates = gradient * *ups * (share - share * silu + silu);
  *ups = gradient * silu;
}

#define NUMBER float
#define NAMED(name) name
#define LOAD load
#define STORE store
#include "rows.h"

#define NUMBER half
#define NAMED(name) name##_half
#define LOAD load_half
#define STORE store_half
#include "rows.h"

/* c = sum over k of a[i row + k column] b[k], for some rows i and two vectors of columns. */
static inline __attribute__((always_inline)) void block(const float *a, size row, size column, const float *b, size ldb,
                                                        size k, float *c, size ldc, const int rows) {
  vec left[ROWS], right[ROWS];
  for (int i = 0; i < rows; i++) left[i] = right[i] = (vec){0};
  for (size j = 0; j < k; j++, b += ldb, a += column) {
    const vec one = load(b), other = load(b + LANES);
    for (int i = 0; i < rows; i++) {
      const vec factor = all(a[i * row]);
      left[i] += factor * one;
      right[i] += factor * other;
    }
  }
  for (int i = 0; i < rows; i++, c += ldc) {
    store(c, left[i]);
    store(c + LANES, right[i]);
  }
}

/* `block` over many columns, a multiple of two vectors. */
static void strip(const float *a, size row, size column, const float *b, size ldb, size k, float *c, size ldc, size rows,
                  size columns) {
  for (size j = 0; j < columns; j += 2 * LANES) switch (rows) {
      case 6: block(a, row, column, b + j, ldb, k, c + j, ldc, 6); break;
      case 5: block(a, row, column, b + j, ldb, k, c + j, ldc, 5); break;
      case 4: block(a, row, column, b + j, ldb, k, c + j, ldc, 4); break;
      case 3: block(a, row, column, b + j, ldb, k, c + j, ldc, 3); break;
      case 2: block(a, row, column, b + j, ldb, k, c + j, ldc, 2); break;
      default: block(a, row, column, b + j, ldb, k, c + j, ldc, 1);
    }
}

/* Rows of one head, side by side and filled up with zeros. */
static void gather(const float *from, size stride, float *into, size length, size d, size padded) {
  for (size i = 0; i < length; i++, from += stride, into += padded) {
    memcpy(into, from, d * sizeof(float));
    memset(into + d, 0, (padded - d) * sizeof(float));
  }
}

static void flip(const float *from, size stride, float *into, size length, size d, size padded) {
  for (size j = 0; j < d; j++) {
    for (size i = 0; i < length; i++) into[j * padded + i] = from[i * stride + j];
    memset(into + j * padded + length, 0, (padded - length) * sizeof(float));
  }
}

static void scatter(const float *from, size padded, float *into, size stride, size length, size d, int add) {
  for (size i = 0; i < length; i++, from += padded, into += stride)
    if (add)
      for (size j = 0; j < d; j++) into[j] += from[j];
    else
      memcpy(into, from, d * sizeof(float));
}

static inline size least(size one, size other) { return one < other ? one : other; }

/* Softmax of the first `count` numbers; zeros up to `room`, a multiple of LANES. */
static void softmax(float *scores, size count, size room) {
  const size used = up(count, LANES);
  for (size j = count; j < used; j++) scores[j] = -INFINITY;
  vec most = load(scores), totals = {0};
  for (size j = LANES; j < used; j += LANES) most = larger(load(scores + j), most);
  const float top = largest(most);
  for (size j = 0; j < used; j += LANES) {
    const vec each = exponential(load(scores + j) - top);
    store(scores + j, each);
    totals += each;
  }
  const float share = 1.0f / sum(totals);
  for (size j = 0; j < used; j += LANES) store(scores + j, load(scores + j) * share);
  memset(scores + used, 0, (room - used) * sizeof(float));
}

/* Below: `heads` query heads, `groups` heads of keys and values, each `d` wide. */

/* The attention output of each token of each text. `qkv` holds rows of rotated queries and keys, and values; `weights`
   has space for every head's, rows filled up to two vectors. Returns 0, or 1 where there is no memory. */
int attend(const float *qkv, float *seen, float *weights, const int64_t *lengths, size texts, size heads, size groups,
           size d) {
  size longest = 0;
  for (size t = 0; t < texts; t++) longest = lengths[t] > longest ? lengths[t] : longest;
  const size dp = up(d, 2 * LANES), lp = up(longest, 2 * LANES), ld = (heads + 2 * groups) * d, shared = heads / groups;
  float *space = malloc((3 * longest * dp + d * lp + 1) * sizeof(float));
  if (!space) return 1;
  float *q = space, *v = q + longest * dp, *o = v + longest * dp, *k = o + longest * dp;
  for (size t = 0; t < texts; t++) {
    const size length = lengths[t], p = up(length, 2 * LANES);
    for (size h = 0; h < heads; h++) {
      if (h % shared == 0) {
        flip(qkv + (heads + h / shared) * d, ld, k, length, d, p);
        gather(qkv + (heads + groups + h / shared) * d, ld, v, length, d, dp);
      }
      gather(qkv + h * d, ld, q, length, d, dp);
      for (size i = 0; i < length; i += ROWS) {
        const size rows = least(ROWS, length - i), seen_by = i + rows;
        float *scores = weights + i * p;
        strip(q + i * dp, dp, 1, k, p, d, scores, p, rows, up(seen_by, 2 * LANES));
        for (size r = 0; r < rows; r++) softmax(scores + r * p, i + r + 1, p);
        strip(scores, p, 1, v, dp, seen_by, o + i * dp, dp, rows, dp);
      }
      scatter(o, dp, seen + h * d, heads * d, length, d, 0);
      weights += length * p;
    }
    qkv += length * ld;
    seen += length * heads * d;
  }
  free(space);
  return 0;
}

/* The gradients of queries, keys and values, from that of the output of `attend`, and the weights that it saved. */
int attend_backward(const float *gradient, const float *qkv, const float *weights, float *into, const int64_t *lengths,
                    size texts, size heads, size groups, size d) {
  size longest = 0;
  for (size t = 0; t < texts; t++) longest = lengths[t] > longest ? lengths[t] : longest;
  const size dp = up(d, 2 * LANES), lp = up(longest, 2 * LANES), ld = (heads + 2 * groups) * d, shared = heads / groups;
  float *space = malloc((4 * longest * dp + d * lp + longest * lp + 1) * sizeof(float));
  if (!space) return 1;
  float *q = space, *k = q + longest * dp, *given = k + longest * dp, *o = given + longest * dp;
  float *v = o + longest * dp, *grad_scores = v + d * lp;
  for (size t = 0; t < texts; t++) {
    const size length = lengths[t], p = up(length, 2 * LANES);
    for (size h = 0; h < heads; h++) {
      const size of_key = (heads + h / shared) * d, of_value = of_key + groups * d;
      const int add = h % shared != 0;
      if (!add) {
        gather(qkv + of_key, ld, k, length, d, dp);
        flip(qkv + of_value, ld, v, length, d, p);
      }
      gather(qkv + h * d, ld, q, length, d, dp);
      gather(gradient + h * d, heads * d, given, length, d, dp);
      for (size i = 0; i < length; i += ROWS) {
        const size rows = least(ROWS, length - i), seen_by = i + rows, used = up(seen_by, 2 * LANES);
        float *grad_row = grad_scores + i * p;
        strip(given + i * dp, dp, 1, v, p, d, grad_row, p, rows, used);
        for (size r = 0; r < rows; r++) {
          const float *probs = weights + (i + r) * p;
          float *row = grad_row + r * p;
          vec along = {0};
          for (size j = 0; j < used; j += LANES) along += load(row + j) * load(probs + j);
          const float mean = sum(along);
          for (size j = 0; j < used; j += LANES) store(row + j, load(probs + j) * (load(row + j) - mean));
        }
        strip(grad_row, p, 1, k, dp, seen_by, o + i * dp, dp, rows, dp);
      }
      scatter(o, dp, into + h * d, ld, length, d, 0);
      /* Tokens from i on see token i; rows before the first of a block have zeros there. */
      for (size i = 0; i < length; i += ROWS)
        strip(weights + i * p + i, 1, p, given + i * dp, dp, length - i, o + i * dp, dp, least(ROWS, length - i), dp);
      scatter(o, dp, into + of_value, ld, length, d, add);
      for (size i = 0; i < length; i += ROWS)
        strip(grad_scores + i * p + i, 1, p, q + i * dp, dp, length - i, o + i * dp, dp, least(ROWS, length - i), dp);
      scatter(o, dp, into + of_key, ld, length, d, add);
      weights += length * p;
    }
    qkv += length * ld;
    into += length * ld;
    gradient += length * heads * d;
  }
  free(space);
  return 0;
}

/* Numbers that rows are filled up to. */
size unit(void) { return 2 * LANES; }

/* Keys and values of tokens, put where their text's are. Keys: (slot, group, d, capacity); values: (slot, group,
   capacity, d filled up). The capacity is a multiple of the unit. */
static void put(const float *qkv, const int64_t *slots, const int64_t *places, size tokens, float *keys,
                float *values, size heads, size groups, size d, size capacity) {
  const size dp = up(d, 2 * LANES);
  for (size t = 0; t < tokens; t++, qkv += (heads + 2 * groups) * d)
    for (size g = 0; g < groups; g++) {
      const float *key = qkv + (heads + g) * d, *value = key + groups * d;
      const size group = slots[t] * groups + g;
      float *column = keys + group * d * capacity + places[t], *row = values + (group * capacity + places[t]) * dp;
      for (size j = 0; j < d; j++) column[j * capacity] = key[j];
      gather(value, d, row, 1, d, dp);
    }
}

void fill(const float *qkv, const int64_t *slots, const int64_t *places, size tokens, float *keys, float *values,
          size heads, size groups, size d, size capacity) {
  put(qkv, slots, places, tokens, keys, values, heads, groups, d, capacity);
}

/* The attention output of each text's next token, whose own key and value are stored. Returns 0, or 1 where there is no memory. */
int attend_next(const float *qkv, const int64_t *slots, const int64_t *places, size rows, float *keys, float *values,
                float *seen, size heads, size groups, size d, size capacity) {
  const size dp = up(d, 2 * LANES), shared = heads / groups, ld = (heads + 2 * groups) * d;
  float *scores = malloc((capacity + dp) * sizeof(float));
  if (!scores) return 1;
  float *found = scores + capacity;
  put(qkv, slots, places, rows, keys, values, heads, groups, d, capacity);
  for (size row = 0; row < rows; row++, qkv += ld, seen += heads * d)
    for (size h = 0; h < heads; h++) {
      const size group = slots[row] * groups + h / shared, seen_by = places[row] + 1, used = up(seen_by, 2 * LANES);
      strip(qkv + h * d, 0, 1, keys + group * d * capacity, capacity, d, scores, 0, 1, used);
      softmax(scores, seen_by, used);
      strip(scores, 0, 1, values + group * capacity * dp, dp, seen_by, found, 0, 1, dp);
      memcpy(seen + h * d, found, d * sizeof(float));
    }
  free(scores);
  return 0;
}

/* Some vocabulary indices' bits for a row, as fractions w in (0, 1) (see sampling.py). */
static inline vec fractions(uvec bits, uint32_t low, uint32_t high) {
  uvec x = bits ^ low;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x += high;
  x *= 0x846ca68bu;
  x ^= x >> 16;
  const vec w = (__builtin_convertvector((ivec)(x & 0x7fffffffu), vec) + 0.5f) * 0x1p-31f;
  const vec below = all(1.0f - 0x1p-24f);
  return chosen(w > below, below, w);
}

/* Standard Gumbel noise, -log(-log1p(-w)). */
static inline vec noise(vec w) {
  /* log1p as Kahan has it: what rounding 1 - w loses is put right by a factor. */
  const vec rest = 1.0f - w;
  const ivec same = rest == 1.0f;
  return -logarithm(chosen(same, w, -logarithm(rest) * (w / chosen(same, all(1.0f), 1.0f - rest))));
}

/* More than `noise` can be: it is at most -log(w), and w is at least the power of two in its exponent. */
static inline vec most_noise(vec w) {
  return __builtin_convertvector(127 - ((ivec)w >> 23), vec) * 0.69314718f + 0.01f;
}

#define AT_ONCE 4 /* vectors that are looked at before any noise is made */

/* The first index of the largest of logits / temperature + noise, for each row. `words` are two for a row, `apart` from
   those of the next. Most indices cannot win, and have no noise made. */
void draw(const float *logits, const uint32_t *words, size apart, const uint32_t *bits, int64_t *tokens, size n,
          size vocabulary, float temperature) {
  ivec lanes;
  for (int lane = 0; lane < LANES; lane++) lanes[lane] = lane;
  for (size row = 0; row < n; row++, logits += vocabulary, words += apart) {
    vec best = all(-INFINITY);
    ivec where = {0};
    float top = -INFINITY;
    for (size from = 0; from < vocabulary; from += AT_ONCE * LANES) {
      vec scores[AT_ONCE], w[AT_ONCE], bound = all(-INFINITY);
      for (int i = 0; i < AT_ONCE; i++) {
        const size left = vocabulary - from - i * LANES;
        uvec of_each = {0};
        scores[i] = all(-INFINITY);
        if (left >= LANES) {
          scores[i] = load(logits + from + i * LANES);
          memcpy(&of_each, bits + from + i * LANES, sizeof of_each);
        } else if (left > 0) {
          memcpy(&scores[i], logits + from + i * LANES, left * sizeof(float));
          memcpy(&of_each, bits + from + i * LANES, left * sizeof(float));
        }
        scores[i] /= temperature;
        w[i] = fractions(of_each, words[0], words[1]);
        bound = larger(scores[i] + most_noise(w[i]), bound);
      }
      if (!(largest(bound) >= top)) continue;
      for (int i = 0; i < AT_ONCE; i++) {
        const vec each = scores[i] + noise(w[i]);
        const ivec more = each > best;
        best = chosen(more, each, best);
        where = ((lanes + (int32_t)(from + i * LANES)) & more) | (where & ~more);
      }
      top = largest(best);
    }
    size first = 0;
    for (int lane = 1; lane < LANES; lane++)
      if (best[lane] > best[first] || (best[lane] == best[first] && where[lane] < where[first])) first = lane;
    tokens[row] = where[first];
  }
}
