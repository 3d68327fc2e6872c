package netfilter

// Numbers of the kernel's interface, from linux/netfilter/nf_tables.h.
const (
	getTables     = 1
	getChains     = 4
	getRules      = 7
	getSets       = 10
	getElements   = 13
	getGeneration = 16
	getObjects    = 19

	attrGenerationID = 1

	attrTableName  = 1
	attrTableFlags = 2
	tableDormant   = 1

	attrChainTable  = 1
	attrChainHandle = 2
	attrChainName   = 3
	attrChainHook   = 4
	attrChainPolicy = 5
	attrChainType   = 7

	attrHookNumber   = 1
	attrHookPriority = 2
	attrHookDevice   = 3
	attrHookDevices  = 4

	devicePrefix = 2

	attrRuleTable       = 1
	attrRuleChain       = 2
	attrRuleHandle      = 3
	attrRuleExpressions = 4

	attrSetTable   = 1
	attrSetName    = 2
	attrSetFlags   = 3
	attrSetKeySize = 5
	setAnonymous   = 0x1
	setInterval    = 0x4
	setMap         = 0x8
	setConcat      = 0x80

	attrElementsTable = 1
	attrElementsSet   = 2
	attrElementsList  = 3

	attrElementKey         = 1
	attrElementData        = 2
	attrElementFlags       = 3
	attrElementExpression  = 7
	attrElementKeyEnd      = 10
	attrElementExpressions = 11
	elementEnd             = 0x1
	elementAny             = 0x2

	attrObjectTable = 1
	attrObjectName  = 2
	attrObjectType  = 3
	attrObjectData  = 4
	objectCounter   = 1
	objectQuota     = 2
	objectLimit     = 4

	attrExpressionName = 1
	attrExpressionData = 2

	attrDataValue    = 1
	attrDataVerdict  = 2
	attrVerdictCode  = 1
	attrVerdictChain = 2
)

// Families, from linux/netfilter.h.
const (
	familyInet   = 1
	familyIP     = 2
	familyNetdev = 5
	familyBridge = 7
	familyIP6    = 10
)

func familyNames() map[uint8]string {
	return map[uint8]string{familyInet: "inet", familyIP: "ip", 3: "arp", familyNetdev: "netdev", familyBridge: "bridge", familyIP6: "ip6"}
}

// hookName names a place at which chains are called.
func hookName(family uint8, number uint32) (string, bool) {
	names := []string{"prerouting", "input", "forward", "output", "postrouting"}
	switch family {
	case familyInet, familyIP, familyIP6:
		names = append(names, "ingress")
	case familyNetdev:
		names = []string{"ingress", "egress"}
	case 3: // arp
		names = []string{"input", "output", "forward"}
	}
	if int(number) >= len(names) {
		return "", false
	}
	return names[number], true
}
