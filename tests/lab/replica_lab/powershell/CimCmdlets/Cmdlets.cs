// Copyright (c) 2026, hyperv.replica contributors
// GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

using System;
using System.Collections;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Management.Automation;
using System.Reflection;
using System.Resources;
using System.Text.Json;
using System.Text.Json.Nodes;
using ReplicaLab;

// The namespace and the names of the real ones: they are the end of every FullyQualifiedErrorId.
namespace Microsoft.Management.Infrastructure.CimCmdlets
{
    /// <summary>What the cmdlets share: the namespace rule, the request, and how an error is written.</summary>
    public abstract class LabCimCommand : PSCmdlet
    {
        private const string DefaultNamespace = "root/cimv2";

        [Parameter]
        public uint OperationTimeoutSec { get; set; }

        protected static string NamespaceOr(string given) => string.IsNullOrEmpty(given) ? DefaultNamespace : given;

        /// <summary>Ask the lab and hand on the answer. A CIM error is written; what a caller did wrong is thrown.</summary>
        protected void Ask(JsonObject request, Action<JsonElement> use, object target = null)
        {
            JsonElement answer;
            try
            {
                answer = LabConnection.Ask(request, OperationTimeoutSec);
            }
            catch (CimException e)
            {
                var category = (ErrorCategory)(ushort)e.ErrorData.CimInstanceProperties["error_Category"].Value;
                WriteError(new ErrorRecord(e, e.MessageId, category, target));
                return;
            }

            use(answer);
        }

        protected void AskForInstances(JsonObject request, object target = null) => Ask(
            request, answer => WriteObject(Instances.Read(answer), enumerateCollection: true), target);
    }

    /// <summary>Get-CimInstance.</summary>
    [Cmdlet(VerbsCommon.Get, "CimInstance", DefaultParameterSetName = "ClassNameComputerSet")]
    [OutputType(typeof(CimInstance))]
    public sealed class GetCimInstanceCommand : LabCimCommand
    {
        [Parameter(Mandatory = true, Position = 0, ParameterSetName = "ClassNameComputerSet", ValueFromPipelineByPropertyName = true)]
        public string ClassName { get; set; }

        [Parameter(Mandatory = true, ParameterSetName = "QueryComputerSet", ValueFromPipelineByPropertyName = true)]
        public string Query { get; set; }

        [Parameter(Mandatory = true, Position = 0, ParameterSetName = "CimInstanceComputerSet", ValueFromPipeline = true)]
        [Alias("CimInstance")]
        public CimInstance InputObject { get; set; }

        [Parameter(ParameterSetName = "ClassNameComputerSet", ValueFromPipelineByPropertyName = true)]
        [Parameter(ParameterSetName = "QueryComputerSet", ValueFromPipelineByPropertyName = true)]
        public string Namespace { get; set; }

        [Parameter(ParameterSetName = "ClassNameComputerSet", ValueFromPipelineByPropertyName = true)]
        public string Filter { get; set; }

        [Parameter(ParameterSetName = "ClassNameComputerSet", ValueFromPipelineByPropertyName = true)]
        [Alias("SelectProperties")]
        public string[] Property { get; set; }

        protected override void ProcessRecord()
        {
            if (InputObject != null)
            {
                JsonObject reference = Instances.WriteReference(InputObject);
                AskForInstances(new JsonObject { ["do"] = "get", ["instance"] = reference }, InputObject);
                return;
            }

            var request = new JsonObject { ["namespace"] = NamespaceOr(Namespace) };
            if (Query == null && Filter == null && Property == null)
            {
                request["do"] = "enumerate";
                request["class"] = ClassName;
            }
            else
            {
                string names = Property == null ? "*" : string.Join(",", Property);
                string condition = Filter == null ? "" : " WHERE " + Filter;
                request["do"] = "query";
                request["query"] = Query ?? $"SELECT {names} FROM {ClassName}{condition}";
            }

            AskForInstances(request);
        }
    }

    /// <summary>Get-CimAssociatedInstance.</summary>
    [Cmdlet(VerbsCommon.Get, "CimAssociatedInstance")]
    [OutputType(typeof(CimInstance))]
    public sealed class GetCimAssociatedInstanceCommand : LabCimCommand
    {
        [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
        [Alias("CimInstance")]
        public CimInstance InputObject { get; set; }

        [Parameter(Position = 1, ValueFromPipelineByPropertyName = true)]
        public string Association { get; set; }

        [Parameter]
        public string ResultClassName { get; set; }

        [Parameter(ValueFromPipelineByPropertyName = true)]
        public string Namespace { get; set; }

        protected override void ProcessRecord() => AskForInstances(
            new JsonObject
            {
                ["do"] = "associators",
                ["namespace"] = NamespaceOr(Namespace ?? InputObject.CimSystemProperties.Namespace),
                ["instance"] = Instances.WriteReference(InputObject),
                ["association"] = Association,
                ["result_class"] = ResultClassName,
            },
            InputObject);
    }

    /// <summary>New-CimInstance: on the client only, for this provider creates none.</summary>
    [Cmdlet(VerbsCommon.New, "CimInstance", SupportsShouldProcess = true)]
    [OutputType(typeof(CimInstance))]
    public sealed class NewCimInstanceCommand : LabCimCommand
    {
        [Parameter(Mandatory = true, Position = 0, ValueFromPipelineByPropertyName = true)]
        public string ClassName { get; set; }

        [Parameter(Position = 1, ValueFromPipelineByPropertyName = true)]
        [Alias("Arguments")]
        public IDictionary Property { get; set; }

        [Parameter(ValueFromPipelineByPropertyName = true)]
        public string[] Key { get; set; }

        [Parameter(ValueFromPipelineByPropertyName = true)]
        public string Namespace { get; set; }

        [Parameter]
        [Alias("Local")]
        public SwitchParameter ClientOnly { get; set; }

        protected override void ProcessRecord()
        {
            var elements = new List<Element>();
            foreach (DictionaryEntry entry in Property ?? new Hashtable())
            {
                string name = entry.Key.ToString();
                bool key = Key != null && Key.Contains(name, StringComparer.OrdinalIgnoreCase);
                elements.Add(NewElement(name, entry.Value, key ? CimFlags.Property | CimFlags.Key : CimFlags.Property));
            }

            if (ClientOnly)
            {
                WriteObject(Instances.Show(
                    new NativeInstance(ClassName, NamespaceOr(Namespace), null, elements, fromHost: false)));
            }
            else if (ShouldProcess(ClassName, "New-CimInstance"))
            {
                CimException refused = Errors.Cim(7, 7, 0x80041024, 11, "This provider creates no instances.");
                WriteError(new ErrorRecord(refused, refused.MessageId, ErrorCategory.NotImplemented, null));
            }
        }

        private static Element NewElement(string name, object value, CimFlags flags)
        {
            value = value is PSObject wrapped ? wrapped.BaseObject : value;
            bool reference = value is PSReference;
            value = reference ? ((PSReference)value).Value : value;
            value = value is PSObject inner ? inner.BaseObject : value;
            CimType type = value == null ? CimType.String : CimConverter.GetCimType(value.GetType());
            if (type == CimType.Unknown)
            {
                throw new ArgumentException($"{name}: a {value.GetType().FullName} is no CIM value");
            }

            return new Element
            {
                Name = name,
                Type = reference ? CimType.Reference : type,
                Flags = flags,
                Value = value is CimInstance instance ? NativeInstance.Of(instance) : value,
            };
        }
    }

    /// <summary>Invoke-CimMethod.</summary>
    [Cmdlet(VerbsLifecycle.Invoke, "CimMethod", SupportsShouldProcess = true, DefaultParameterSetName = "ClassNameComputerSet")]
    public sealed class InvokeCimMethodCommand : LabCimCommand
    {
        [Parameter(Mandatory = true, Position = 0, ParameterSetName = "ClassNameComputerSet")]
        public string ClassName { get; set; }

        [Parameter(Mandatory = true, Position = 0, ParameterSetName = "CimInstanceComputerSet", ValueFromPipeline = true)]
        [Alias("CimInstance")]
        public CimInstance InputObject { get; set; }

        [Parameter(ParameterSetName = "ClassNameComputerSet", ValueFromPipelineByPropertyName = true)]
        public string Namespace { get; set; }

        [Parameter(Position = 1, ValueFromPipelineByPropertyName = true)]
        public IDictionary Arguments { get; set; }

        [Parameter(Mandatory = true, Position = 2, ValueFromPipelineByPropertyName = true)]
        [Alias("Name")]
        public string MethodName { get; set; }

        protected override void ProcessRecord()
        {
            string className = ClassName ?? InputObject.CimSystemProperties.ClassName;
            var arguments = new JsonObject();
            foreach (DictionaryEntry entry in Arguments ?? new Hashtable())
            {
                arguments[entry.Key.ToString()] = Values.Write(entry.Value);
            }

            var request = new JsonObject
            {
                ["do"] = "invoke",
                ["namespace"] = NamespaceOr(InputObject == null ? Namespace : InputObject.CimSystemProperties.Namespace),
                ["class"] = className,
                ["instance"] = InputObject == null ? null : Instances.WriteReference(InputObject),
                ["method"] = MethodName,
                ["arguments"] = arguments,
            };
            if (ShouldProcess(className, "Invoke-CimMethod: " + MethodName))
            {
                Ask(request, answer => WriteObject(Result(className, answer)), InputObject);
            }
        }

        private PSObject Result(string className, JsonElement answer)
        {
            const string TypeName = "Microsoft.Management.Infrastructure.CimMethodResult";
            var result = new PSObject();
            foreach (JsonElement parameter in answer.GetProperty("out").EnumerateArray())
            {
                object value = Values.Read(parameter[2], Values.TypeOf(parameter[1].GetString()));
                value = value switch
                {
                    NativeInstance native => Instances.Show(native),
                    NativeInstance[] natives => natives.Select(Instances.Show).ToArray(),
                    _ => value,
                };
                result.Properties.Add(new PSNoteProperty(parameter[0].GetString(), value));
            }

            result.Properties.Add(new PSNoteProperty("PSComputerName", null));
            result.TypeNames.Insert(0, TypeName);
            result.TypeNames.Insert(0, $"{TypeName}#{className}#{MethodName}");
            return result;
        }
    }

    /// <summary>The infrastructure for Linux looks for its few texts under a name that they do not have.</summary>
    public sealed class Texts : ResourceManager, IModuleAssemblyInitializer
    {
        private static readonly Dictionary<string, string> s_texts = new()
        {
            ["CimNameAndValueToString"] = "{0} = {1}",
            ["CimInstanceToStringNoKeys"] = "{0}",
            ["CimInstanceToStringNoCaption"] = "{0} ({1})",
            ["CimInstanceToStringFullData"] = "{0}: {1} ({2})",
        };

        public void OnImport() => typeof(CimInstance).Assembly.GetType("Microsoft.Management.Infrastructure.Strings")
            .GetField("resourceMan", BindingFlags.Static | BindingFlags.NonPublic)
            .SetValue(null, this);

        public override string GetString(string name, CultureInfo culture) => s_texts.TryGetValue(name, out string text) ? text : name;
    }
}
