package evidence

// A Difference is one thing about a running pod that is not as its object says.
type Difference struct {
	// Path is where it stands, or would stand, in the object.
	Path Path
	// Container is the container concerned, "" for the pod itself.
	Container string
	// Field is the field below the container, or below the pod: "image",
	// "securityContext.privileged"; of a container that was added or is missing its list.
	Field string
	// Value is what runs, and Written what the object says; "" where there is nothing
	// or what might be a credential.
	Value, Written string
	// Text says it in words: container "web": image is a:2, the template has a:1.
	Text string
}
