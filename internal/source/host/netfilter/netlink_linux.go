package netfilter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
)

var errChanged = errors.New("the rules changed while they were read")

// A connection asks the kernel over netlink.
type connection struct {
	socket   int
	sequence uint32
	told     int // bytes of answers to one look
}

const (
	patience    = 20        // seconds for one answer of the kernel
	bufferSize  = 256 << 10 // the kernel's messages are at most 32 KiB
	messageHead = 16        // bytes of a netlink header
	familyHead  = 4         // bytes of a netfilter header
	interrupt   = 0x10      // NLM_F_DUMP_INTR
	subsystem   = 10 << 8   // NFNL_SUBSYS_NFTABLES
	newest      = 0         // NFNETLINK_V0
)

func dial() (*connection, error) {
	s, err := syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	c := &connection{socket: s}
	timeout := syscall.Timeval{Sec: patience}
	if err := errors.Join(syscall.Bind(s, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}),
		syscall.SetsockoptTimeval(s, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &timeout)); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *connection) close() { _ = syscall.Close(c.socket) } // nothing was written

// ask sends one question and gathers the answers: all objects of a kind, of which
// each is a message, or, of the generation, the only one.
func (c *connection) ask(kind uint16, family uint8, body []byte) ([]message, error) {
	c.sequence++
	flags := uint16(syscall.NLM_F_REQUEST | syscall.NLM_F_DUMP)
	if kind == getGeneration {
		flags = syscall.NLM_F_REQUEST | syscall.NLM_F_ACK
	}
	question := binary.NativeEndian.AppendUint32(nil, uint32(messageHead+familyHead+len(body)))
	question = binary.NativeEndian.AppendUint16(question, subsystem|kind)
	question = binary.NativeEndian.AppendUint16(question, flags)
	question = binary.NativeEndian.AppendUint32(question, c.sequence)
	question = binary.NativeEndian.AppendUint32(question, 0)
	question = append(question, family, newest, 0, 0)
	question = append(question, body...)
	if err := syscall.Sendto(c.socket, question, 0, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}); err != nil {
		return nil, err
	}
	var list []message
	buffer := make([]byte, bufferSize)
	for {
		n, err := c.receive(buffer)
		if err != nil {
			return nil, err
		}
		packets, err := syscall.ParseNetlinkMessage(buffer[:n])
		if err != nil {
			return nil, err
		}
		for _, p := range packets {
			done, err := c.answer(p, &list)
			if done || err != nil {
				return list, err
			}
		}
	}
}

// receive takes what the kernel, and nobody else, sent.
func (c *connection) receive(buffer []byte) (int, error) {
	for {
		n, _, flags, from, err := syscall.Recvmsg(c.socket, buffer, nil, 0)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if flags&syscall.MSG_TRUNC != 0 {
			return 0, fmt.Errorf("an answer of more than %d bytes", len(buffer))
		}
		if a, ok := from.(*syscall.SockaddrNetlink); !ok || a.Pid != 0 {
			continue
		}
		if c.told += n; c.told > maxText {
			return 0, fmt.Errorf("more than %d MiB", maxText>>20)
		}
		return n, nil
	}
}

func (c *connection) answer(p syscall.NetlinkMessage, list *[]message) (done bool, err error) {
	switch {
	case p.Header.Seq != c.sequence: // of a question that was given up
		return false, nil
	case p.Header.Flags&interrupt != 0:
		return true, errChanged
	case p.Header.Type == syscall.NLMSG_DONE, p.Header.Type == syscall.NLMSG_ERROR:
		if len(p.Data) < 4 {
			return true, errCut
		}
		if errno := int32(binary.NativeEndian.Uint32(p.Data)); errno < 0 {
			return true, syscall.Errno(-errno)
		}
		return true, nil
	case p.Header.Type>>8 != subsystem>>8:
		return true, fmt.Errorf("an answer of a kind %d that is not known", p.Header.Type)
	case len(p.Data) < familyHead:
		return true, errCut
	}
	*list = append(*list, message{p.Data[0], append([]byte(nil), p.Data[familyHead:]...)})
	return false, nil
}

// generation changes with every change of the rules.
func (c *connection) generation() (uint32, error) {
	list, err := c.ask(getGeneration, 0, nil)
	if err != nil {
		return 0, err
	}
	if len(list) != 1 {
		return 0, fmt.Errorf("%d answers to one question", len(list))
	}
	a, err := attributes(list[0].body)
	return a.number(attrGenerationID), err
}

// ruleset reads everything once.
func (c *connection) ruleset(devices map[uint32]string) ([]byte, error) {
	c.told = 0
	before, err := c.generation()
	if err != nil {
		return nil, err
	}
	var told kernel
	for _, part := range []struct {
		kind uint16
		list *[]message
	}{{getTables, &told.tables}, {getChains, &told.chains}, {getRules, &told.rules}, {getSets, &told.sets}, {getObjects, &told.objects}} {
		if *part.list, err = c.ask(part.kind, 0, nil); err != nil {
			return nil, err
		}
	}
	for _, s := range told.sets {
		a, err := attributes(s.body)
		if err != nil {
			return nil, err
		}
		question := attribute(nil, attrElementsTable, a[attrSetTable])
		question = attribute(question, attrElementsSet, a[attrSetName])
		elements, err := c.ask(getElements, s.family, question)
		if errors.Is(err, syscall.ENOENT) {
			err = errChanged
		}
		if err != nil {
			return nil, err
		}
		told.elements = append(told.elements, elements)
	}
	after, err := c.generation()
	if err != nil {
		return nil, err
	}
	if before != after {
		return nil, errChanged
	}
	return told.text(devices)
}
