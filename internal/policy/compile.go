package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	celgo "github.com/google/cel-go/cel"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/gabion-k8s/gabion/internal/evidence"
)

// programs are the compiled expressions of a policy.
type programs struct {
	conditions  cel.ConditionEvaluator // nil when there are none
	validations cel.ConditionEvaluator
	messages    cel.ConditionEvaluator
	// fields are the fields that the validations speak of, as far as they name one.
	fields [][]string
	// authorizer is set when an expression asks the authorizer, and
	// namespaceObject when one looks at the Namespace.
	authorizer, namespaceObject bool
}

// An expression is a text in CEL with the types it may have.
type expression struct {
	name, text string
	types      []*celgo.Type
}

func (e *expression) GetName() string            { return e.name }
func (e *expression) GetExpression() string      { return e.text }
func (e *expression) ReturnTypes() []*celgo.Type { return e.types }

// A compilation is the compiling of one policy.
type compilation struct {
	l        *loader
	place    place
	compiler *cel.CompositedCompiler
	params   bool
	programs programs
}

// compile compiles a policy as the API server does one that it has stored. The
// faults are reported to the loader.
func (l *loader) compile(p place, pol *policy) programs {
	compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		l.fail(p, evidence.Path{}, "policy %q: %v", pol.Name, err)
		return programs{}
	}
	c := &compilation{l: l, place: p, compiler: compiler, params: pol.Spec.ParamKind != nil}
	spec := evidence.NewPath("spec")
	for i, v := range pol.Spec.Variables {
		c.variable(spec.Field("variables").Index(i, v.Name).Field("expression"), v)
	}
	var conditions, validations, messages []cel.ExpressionAccessor
	for i, m := range pol.Spec.MatchConditions {
		e := &expression{m.Name, m.Expression, []*celgo.Type{celgo.BoolType}}
		c.check(spec.Field("matchConditions").Index(i, m.Name).Field("expression"), e, true)
		conditions = append(conditions, e)
	}
	for i, v := range pol.Spec.Validations {
		at := spec.Field("validations").Index(i, "")
		e := &expression{"", v.Expression, []*celgo.Type{celgo.BoolType}}
		c.check(at.Field("expression"), e, true)
		validations = append(validations, e)
		c.programs.fields = append(c.programs.fields, fieldOf(v.Expression))
		if v.MessageExpression == "" {
			messages = append(messages, nil)
			continue
		}
		m := &expression{"", v.MessageExpression, []*celgo.Type{celgo.StringType}}
		c.check(at.Field("messageExpression"), m, false)
		messages = append(messages, m)
	}
	for i, a := range pol.Spec.AuditAnnotations {
		e := &expression{a.Key, a.ValueExpression, []*celgo.Type{celgo.StringType, celgo.NullType}}
		c.check(spec.Field("auditAnnotations").Index(i, a.Key).Field("valueExpression"), e, true)
	}
	if len(conditions) > 0 {
		c.programs.conditions = c.evaluator(conditions)
	}
	c.programs.validations = c.evaluator(validations)
	c.programs.messages = c.evaluator(messages)
	return c.programs
}

// options declare what an expression may speak of.
func (c *compilation) options(authorizer bool) cel.OptionalVariableDeclarations {
	return cel.OptionalVariableDeclarations{HasParams: c.params, HasAuthorizer: authorizer}
}

// evaluator compiles for judging. A policy that asks the authorizer is not
// evaluated, so that none is declared.
func (c *compilation) evaluator(list []cel.ExpressionAccessor) cel.ConditionEvaluator {
	return c.compiler.CompileCondition(list, c.options(false), environment.StoredExpressions)
}

func (c *compilation) variable(at evidence.Path, v admissionregistrationv1.Variable) {
	e := &expression{v.Name, v.Expression, []*celgo.Type{celgo.AnyType, celgo.DynType}}
	asks := c.check(at, e, true)
	c.compiler.CompileAndStoreVariable(e, c.options(asks), environment.StoredExpressions)
}

// check compiles an expression to see that it is sound. It asks the authorizer
// when it compiles only where there is one.
func (c *compilation) check(at evidence.Path, e *expression, mayAsk bool) (asksAuthorizer bool) {
	if strings.Contains(e.text, "namespaceObject") {
		c.programs.namespaceObject = true
	}
	result := c.compiler.CompileCELExpression(e, c.options(false), environment.StoredExpressions)
	if result.Error == nil {
		return false
	}
	if mayAsk && c.compiler.CompileCELExpression(e, c.options(true), environment.StoredExpressions).Error == nil {
		c.programs.authorizer = true
		return true
	}
	c.l.fail(c.place, at, "%s: %s", at, c.reason(e, result.Error))
	return false
}

// reason says in a line why an expression does not compile.
func (c *compilation) reason(e *expression, err *apiservercel.Error) string {
	var compiling *apiservercel.CompilationError
	if !errors.As(err, &compiling) || len(compiling.Issues.Errors()) == 0 {
		return clip(err.Detail)
	}
	first := compiling.Issues.Errors()[0]
	text := clip(first.Message)
	if strings.Contains(strings.TrimSpace(e.text), "\n") {
		return fmt.Sprintf("line %d of the expression: %s", first.Location.Line(), text)
	}
	return text
}

// longestReason is how much of a fault that others put into words is told.
const longestReason = 500

func clip(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > longestReason {
		s = strings.ToValidUTF8(s[:longestReason], "") + "…"
	}
	return s
}

// objectField finds the fields of the object that an expression names, and the
// bracket of a call after the last of them.
var objectField = regexp.MustCompile(`(?:^|[^.\w])object((?:\.\??[A-Za-z_][A-Za-z0-9_]*)+)(\s*\()?`)

// fieldOf is the one field of the object that an expression speaks of: the
// deepest, when it names only that one and what leads to it. It is nil when it
// names several.
func fieldOf(text string) []string {
	var deepest []string
	for _, m := range objectField.FindAllStringSubmatch(text, -1) {
		names := strings.Split(strings.TrimPrefix(strings.ReplaceAll(m[1], ".?", "."), "."), ".")
		if m[2] != "" {
			names = names[:len(names)-1] // a method: object.spec.containers.all(
		}
		shorter, longer := names, deepest
		if len(shorter) > len(longer) {
			shorter, longer = longer, shorter
		}
		if !slices.Equal(shorter, longer[:len(shorter)]) {
			return nil
		}
		deepest = longer
	}
	return deepest
}
