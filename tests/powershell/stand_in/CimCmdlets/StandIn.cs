// Copyright (c) 2026, hyperv.replica contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

using System;
using System.Collections;
using System.Collections.Generic;
using Microsoft.Management.Infrastructure;

// What a script sees of a CIM instance, where there is no library to make real ones of: the same names, nothing behind.
namespace StandIn
{
    public sealed class Property
    {
        public string Name { get; set; }
        public object Value { get; set; }
        public CimFlags Flags { get; set; }
    }

    public sealed class Properties : IEnumerable<Property>
    {
        private readonly List<Property> _list = new List<Property>();

        /// <summary>Null for a name that is not there, as the real collection has it.</summary>
        public Property this[string name] =>
            _list.Find(one => string.Equals(one.Name, name, StringComparison.OrdinalIgnoreCase));

        public int Count => _list.Count;
        public void Set(string name, object value, bool key)
        {
            CimFlags flags = CimFlags.Property | CimFlags.NotModified | (key ? CimFlags.Key : 0);
            _list.RemoveAll(one => one.Name == name);
            _list.Add(new Property { Name = name, Value = value, Flags = flags });
        }

        public IEnumerator<Property> GetEnumerator() => _list.GetEnumerator();
        IEnumerator IEnumerable.GetEnumerator() => _list.GetEnumerator();
    }

    public sealed class SystemProperties
    {
        public string ClassName { get; set; }
        public string Namespace { get; set; }
    }

    public sealed class Instance
    {
        public SystemProperties CimSystemProperties { get; } = new SystemProperties();
        public Properties CimInstanceProperties { get; } = new Properties();

        /// <summary>Whether queries show it; a Get by its keys finds it in any case.</summary>
        public bool Listed { get; set; } = true;

        /// <summary>Whether every query of its class shows it, whatever the condition.</summary>
        public bool Always { get; set; }
    }

    /// <summary>The real class has no public way to set its numbers.</summary>
    public sealed class Error : CimException
    {
        public Error(int status, string messageId, string message, Instance errorData) : base(message)
        {
            NativeErrorCode = (NativeErrorCode)status;
            MessageId = messageId;
            ErrorData = errorData;
        }

        public new NativeErrorCode NativeErrorCode { get; }
        public new string MessageId { get; }
        public new Instance ErrorData { get; }
    }
}
