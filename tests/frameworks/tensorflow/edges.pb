
.
xPlaceholder*
dtype0*
shape:
.
yPlaceholder*
dtype0*
shape:

AbsAbsx*
T0
!
abs_outIdentityAbs*
T0

ReluRelux*
T0
#
relu_outIdentityRelu*
T0

Relu6Relu6x*
T0
%
	relu6_outIdentityRelu6*
T0

RoundRoundx*
T0
%
	round_outIdentityRound*
T0

FloorFloorx*
T0
%
	floor_outIdentityFloor*
T0

SigmoidSigmoidx*
T0
)
sigmoid_outIdentitySigmoid*
T0

TanhTanhx*
T0
#
tanh_outIdentityTanh*
T0

IsNanIsNanx*
T0
%
	isnan_outIdentityIsNan*
T0


IsInfIsInfx*
T0
%
	isinf_outIdentityIsInf*
T0

 
IsFiniteIsFinitex*
T0
+
isfinite_outIdentityIsFinite*
T0


ExpExpx*
T0
!
exp_outIdentityExp*
T0

SquareSquarex*
T0
'

square_outIdentitySquare*
T0

SqrtSqrtx*
T0
#
sqrt_outIdentitySqrt*
T0

Log1pLog1px*
T0
%
	log1p_outIdentityLog1p*
T0

Expm1Expm1x*
T0
%
	expm1_outIdentityExpm1*
T0

LessLessxy*
T0
#
less_outIdentityLess*
T0

=
EqualEqualxy*
T0*
incompatible_shape_error(
%
	equal_outIdentityEqual*
T0

C
NotEqualNotEqualxy*
T0*
incompatible_shape_error(
+
notequal_outIdentityNotEqual*
T0

%

div_no_nanDivNoNanxy*
T0
-
divnonan_outIdentity
div_no_nan*
T0
*
multiply_no_nanMulNoNanxy*
T0
2
mulnonan_outIdentitymultiply_no_nan*
T0
+
GreaterEqualGreaterEqualxy*
T0
3
greaterequal_outIdentityGreaterEqual*
T0

!
GreaterGreaterxy*
T0
,
SelectV2SelectV2Greaterxy*
T0
(
	where_outIdentitySelectV2*
T0"ª