/* Operations that take rows one by one, for numbers of either kind (NUMBER). Inside everything is fp32; residual streams,
   factors and losses are fp32 outside, too. The last numbers of a row go through a vector that is filled up. */

static inline vec NAMED(load_some)(const NUMBER *from, size count) {
  NUMBER found[LANES] = {0};
  memcpy(found, from, count * sizeof(NUMBER));
  return LOAD(found);
}

static inline void NAMED(store_some)(NUMBER *into, vec numbers, size count) {
  NUMBER found[LANES];
  STORE(found, numbers);
  memcpy(into, found, count * sizeof(NUMBER));
}

/* y = x / rms(x), and the factors that made it so. */
void NAMED(norm)(const float *x, NUMBER *y, float *factors, size n, size width, float epsilon) {
  const size whole = width / LANES * LANES, left = width - whole;
  for (size row = 0; row < n; row++, x += width, y += width) {
    vec squares = {0};
    for (size j = 0; j < whole; j += LANES) squares += load(x + j) * load(x + j);
    if (left) squares += load_some(x + whole, left) * load_some(x + whole, left);
    const float factor = 1.0f / sqrtf(sum(squares) / width + epsilon);
    for (size j = 0; j < whole; j += LANES) STORE(y + j, load(x + j) * factor);
    if (left) NAMED(store_some)(y + whole, load_some(x + whole, left) * factor, left);
    factors[row] = factor;
  }
}

/* into += factor (dy - y mean(dy y)) */
void NAMED(norm_backward)(const NUMBER *gradient, const NUMBER *y, const float *factors, float *into, size n,
                          size width) {
  const size whole = width / LANES * LANES, left = width - whole;
  for (size row = 0; row < n; row++, gradient += width, y += width, into += width) {
    vec along = {0};
    for (size j = 0; j < whole; j += LANES) along += LOAD(gradient + j) * LOAD(y + j);
    if (left) along += NAMED(load_some)(gradient + whole, left) * NAMED(load_some)(y + whole, left);
    const float mean = sum(along) / width, factor = factors[row];
    for (size j = 0; j < whole; j += LANES)
      store(into + j, load(into + j) + factor * (LOAD(gradient + j) - LOAD(y + j) * mean));
    if (left) {
      const vec change = NAMED(load_some)(gradient + whole, left) - NAMED(load_some)(y + whole, left) * mean;
      store_some(into + whole, load_some(into + whole, left) + factor * change, left);
    }
  }
}

/* gated = gates sigmoid(gates) ups, from rows of gates and ups */
void NAMED(gate)(const NUMBER *gate_up, NUMBER *gated, size n, size inner) {
  for (size row = 0; row < n; row++, gate_up += 2 * inner, gated += inner)
    for (size j = 0; j < inner; j += LANES) {
      const size left = inner - j;
      if (left >= LANES) {
        const vec gates = LOAD(gate_up + j);
        STORE(gated + j, gates * sigmoid(gates) * LOAD(gate_up + inner + j));
      } else {
        const vec gates = NAMED(load_some)(gate_up + j, left), ups = NAMED(load_some)(gate_up + inner + j, left);
        NAMED(store_some)(gated + j, gates * sigmoid(gates) * ups, left);
      }
    }
}

/* The gradients of gates and ups, written over them. */
void NAMED(gate_backward)(const NUMBER *gradient, NUMBER *gate_up, size n, size inner) {
  for (size row = 0; row < n; row++, gate_up += 2 * inner, gradient += inner)
    for (size j = 0; j < inner; j += LANES) {
      const size left = inner - j;
      if (left >= LANES) {
        vec gates = LOAD(gate_up + j), ups = LOAD(gate_up + inner + j);
        gate_gradients(&gates, &ups, LOAD(gradient + j));
        STORE(gate_up + j, gates);
        STORE(gate_up + inner + j, ups);
      } else {
        vec gates = NAMED(load_some)(gate_up + j, left), ups = NAMED(load_some)(gate_up + inner + j, left);
        gate_gradients(&gates, &ups, NAMED(load_some)(gradient + j, left));
        NAMED(store_some)(gate_up + j, gates, left);
        NAMED(store_some)(gate_up + inner + j, ups, left);
      }
    }
}

/* Losses of targets. Logits are overwritten: with `gradient`, by the gradients of their row's loss, softmax less one at
   the target. `each` has space for a row. */
void NAMED(losses)(NUMBER *logits, const int64_t *targets, float *losses, float *each, size n, size vocabulary,
                   int gradient) {
  const size whole = vocabulary / LANES * LANES, left = vocabulary - whole;
  for (size row = 0; row < n; row++, logits += vocabulary) {
    const size target = targets[row];
    vec most = all(-INFINITY), totals = {0};
    for (size j = 0; j < whole; j += LANES) most = larger(LOAD(logits + j), most);
    float top = largest(most);
    vec last = {0};
    if (left) {
      last = NAMED(load_some)(logits + whole, left);
      for (size lane = 0; lane < left; lane++) top = last[lane] > top ? last[lane] : top;
    }
    const float own = NAMED(load_some)(logits + target, 1)[0];
    for (size j = 0; j < whole; j += LANES) {
      const vec power = exponential(LOAD(logits + j) - top);
      store(each + j, power);
      totals += power;
    }
    float total = sum(totals);
    if (left) {
      store_some(each + whole, exponential(last - top), left);
      for (size j = whole; j < vocabulary; j++) total += each[j];
    }
    losses[row] = (top - own) + logf(total);
    if (!gradient) continue;
    const float share = 1.0f / total;
    const float own_share = each[target] * share - 1.0f;
    for (size j = 0; j < whole; j += LANES) STORE(logits + j, load(each + j) * share);
    if (left) NAMED(store_some)(logits + whole, load_some(each + whole, left) * share, left);
    NAMED(store_some)(logits + target, all(own_share), 1);
  }
}

#undef NUMBER
#undef NAMED
#undef LOAD
#undef STORE
