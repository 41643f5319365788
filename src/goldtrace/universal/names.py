"""Which functions of torch leave bits alone, and which are exact in float32 anyway."""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


KEEPS = _names(
    """
    __get__ __set__ __delete__ __repr__ __format__ __hash__ __len__ __bool__ __int__ __float__
    __index__ __iter__ __contains__ __deepcopy__ __reduce_ex__ __setstate__ __array__ __dir__
    __getitem__ __setitem__ index_copy_ index_fill_ scatter_ masked_scatter_
    __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __invert__ __and__ __or__ __xor__
    backward grad register_hook register_post_accumulate_grad_hook retain_grad requires_grad_
    detach detach_ clone contiguous view view_as reshape reshape_as flatten unflatten ravel
    squeeze squeeze_ unsqueeze unsqueeze_ t t_ transpose transpose_ swapaxes swapdims permute
    movedim moveaxis expand expand_as broadcast_to broadcast_tensors repeat repeat_interleave
    tile flip roll rot90 narrow select unbind split split_with_sizes tensor_split chunk diagonal
    diag triu
    tril unfold as_strided index_select gather take take_along_dim masked_select nonzero argwhere
    cat concat concatenate stack hstack vstack dstack column_stack adjoint mT
    size dim ndimension numel nelement stride storage_offset storage untyped_storage data_ptr
    element_size get_device is_contiguous is_floating_point is_complex is_signed is_nonzero
    is_shared is_pinned is_same_size is_tensor is_storage has_names
    item tolist numpy cpu cuda to type type_as double pin_memory share_memory_ long int short char
    byte bool as_tensor from_numpy set_ resize_ apply_ map_
    eq ne lt le gt ge greater less equal allclose isclose isnan isinf isfinite isposinf isneginf
    logical_and logical_or logical_not logical_xor any all argmax argmin sort argsort topk
    kthvalue median mode max min amax amin maximum minimum fmax fmin searchsorted bucketize unique
    where masked_fill masked_fill_ masked_scatter clamp clamp_ clamp_min clamp_max clip clip_
    abs abs_ absolute neg neg_ negative positive sign sgn floor floor_ ceil ceil_ round round_
    trunc trunc_ copysign relu relu_ threshold
    zeros ones empty full zeros_like ones_like empty_like full_like new_zeros new_ones new_empty
    new_full new_tensor eye arange tensor zero_ fill_ fill_diagonal_ one_hot
    rand randint randperm rand_like randint_like randn randn_like normal normal_ uniform_
    random_ bernoulli bernoulli_ multinomial exponential_ manual_seed
    max_pool1d max_pool2d max_pool3d dropout dropout2d pad
    new can_cast result_type promote_types is_grad_enabled set_grad_enabled save load
    """
)
"""Functions whose results are copies, choices, sizes or draws: nothing in them is rounded."""

EXACT = _names(
    """
    add add_ sub sub_ subtract subtract_ rsub mul mul_ multiply multiply_ div div_ divide divide_
    true_divide true_divide_ square square_ copy_ __add__ __radd__ __iadd__ __sub__
    __rsub__ __isub__ __mul__ __rmul__ __imul__ __truediv__ __rtruediv__ __itruediv__ __neg__
    __abs__ __pos__
    """
)
"""Element by element, correctly rounded by IEEE 754 on every machine (an ``alpha`` apart)."""

COMPOUND = frozenset({"addcmul", "addcmul_", "addcdiv", "addcdiv_", "lerp", "lerp_"})
"""Several roundings in one call, which some machines fuse: they are taken apart."""

STATISTICS = frozenset({"batch_norm", "instance_norm", "native_batch_norm"})
"""Functions that write running statistics without torch's version counter noticing."""
